"""The whole host: from bare Ubuntu or Debian with an NVIDIA card to five healthy services.

    pyinfra inventories/prod.py deploys/voice.py

One run at a time works on a host. Preflight asks everything in one round trip and refuses before anything is
changed. Every step after it does nothing when nothing differs, so the second run changes nothing.
"""

from pyinfra.context import host

from voicestack import lock
from voicestack.host import base, docker, nvidia, preflight, volume
from voicestack.settings.load import load
from voicestack.stack import operations as stack
from voicestack.weights import operations as models

settings = load(host)
lock.hold(host)
report = preflight.require(host, settings)
platform = report.platform

base.install(settings, platform)
volume.install(settings)
nvidia.install(settings, platform)
docker.install(settings, platform)
models.install(settings)
stack.install(settings, public_address=preflight.public_address(report, settings))
