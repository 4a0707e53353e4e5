"""The gate: proves on a deployed host that a caller is answered, and names the leg that broke when not.

    pyinfra inventories/prod.py deploys/verify.py [--data gate_rotation=true] [--data gate_report=PATH]

Reads only, but for the rotation, which changes LiveKit's key pair and puts it back: calls that are under way end.
"""

from pyinfra.context import host

from voicestack import lock
from voicestack.settings.load import load
from voicestack.verify import operations as gate

settings = load(host)
if settings.gate.rotation:
    lock.hold(host)
gate.install(settings)
