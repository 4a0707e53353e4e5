"""pyinfra reads this file before anything else when it runs from the repository's root."""

from pyinfra.context import config, state

from deploys.access.checks import CheckBeforeConnect
from deploys.access.transport import harden

config.REQUIRE_PYINFRA_VERSION = "~=3.10"

harden()
state.add_callback_handler(CheckBeforeConnect())  # type: ignore[no-untyped-call]
