"""pyinfra reads this file before anything else when it runs from the repository's root."""

from pyinfra.context import config, ctx_state

from voicestack.before_connecting import check_before_connecting
from voicestack.pyinfra_insides import harden, withhold_arguments

config.REQUIRE_PYINFRA_VERSION = "~=3.10"

harden()
withhold_arguments()
check_before_connecting(ctx_state.get())  # type: ignore[no-untyped-call]
