"""The weights alone: /models holds exactly the catalog's models.

pyinfra inventories/prod.py deploys/weights.py
"""

from pyinfra.context import host

from deploys.models.operations import weights
from deploys.settings import load

settings = load(host)

weights(
    name=f"Fetch the weights into {settings.weights.directory}, each after its architecture check",
    catalog=settings.weights.catalog,
    directory=settings.weights.directory,
    endpoint=settings.weights.endpoint,
    index_url=settings.pypi.index_url,
)
