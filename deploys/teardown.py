"""Takes the stack off a host, in the reverse of how it came; driver and Docker stay, weights and keys unless told.

    pyinfra inventories/prod.py deploys/teardown.py --dry                           # what would go, what stays
    pyinfra --limit HOST inventories/prod.py deploys/teardown.py --data teardown_confirm=DOMAIN

teardown_weights and teardown_secrets go further (docs/decisions/teardown.md). An EC2 host ends as a whole with
`python -m voicestack.launch --terminate NAME`.
"""

from pyinfra.context import host

from voicestack import lock
from voicestack.settings.load import load
from voicestack.teardown.operations import take_down

settings = load(host)
lock.hold(host)
take_down(host, settings)
