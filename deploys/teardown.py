"""Takes the stack off a host again, in the reverse of how it came; weights, certificates and packages stay unless told.

    pyinfra inventories/prod.py deploys/teardown.py --dry                           # what would go, what stays
    pyinfra --limit HOST inventories/prod.py deploys/teardown.py --data teardown_confirm=DOMAIN

teardown_packages, teardown_weights and teardown_secrets go further (docs/decisions/teardown.md).
"""

from pyinfra.context import host

from voicestack import lock
from voicestack.settings.load import load
from voicestack.teardown import operations as removal

settings = load(host)
lock.hold(host)
removal.take_down(host, settings)
