"""The weights alone: /models holds the models in use, and the services that use them run the ones there.

pyinfra inventories/prod.py deploys/weights.py
"""

from pyinfra.context import host

from deploys.access import lock
from deploys.host import volume
from deploys.models import operations as models
from deploys.settings import load
from deploys.stack import operations as stack

settings = load(host)
lock.hold(host)
volume.install(settings)
fetched = models.install(settings)
stack.restart(name="Restart the services whose weights were replaced", _if=fetched.did_change)
