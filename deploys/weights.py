"""The weights alone: /models holds the models in use, and the services that use them run the ones there.

pyinfra inventories/prod.py deploys/weights.py
"""

from pyinfra.context import host

from deploys.models import operations as models
from deploys.settings import load
from deploys.stack import operations as stack

fetched = models.install(load(host))
stack.restart(name="Restart the services whose weights were replaced", _if=fetched.did_change)
