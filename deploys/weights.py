"""The weights alone: /models holds the models in use, and the services that use them run the ones there.

pyinfra inventories/prod.py deploys/weights.py
"""

from pyinfra.context import host

from voicestack import lock
from voicestack.host import volume
from voicestack.settings.load import load
from voicestack.stack import operations as stack
from voicestack.weights import operations as models

settings = load(host)
lock.hold(host)
volume.install(settings)
fetched = models.install(settings)
stack.restart(name="Restart the services whose weights were replaced", _if=fetched.did_change)
