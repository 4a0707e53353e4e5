"""The weights alone: /models holds exactly the catalog's models.

pyinfra inventories/prod.py deploys/weights.py
"""

from pyinfra.context import host

from deploys.models import operations as models
from deploys.settings import load

models.install(load(host))
