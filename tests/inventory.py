"""Which hosts a suite runs against: pyinfra's own reading of an inventory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.config import Config
from pyinfra.api.state import State
from pyinfra.context import ctx_state
from pyinfra_cli.inventory import make_inventory

from voicestack.before_connecting import GROUP

ROOT = Path(__file__).resolve().parents[1]


def hosts_of(config: pytest.Config) -> list[Any]:
    """The voice hosts of --inventory, not yet connected.

    Raises:
        pytest.UsageError: no inventory was given.
    """
    inventory, user = config.getoption("--inventory"), config.getoption("--ssh-user")
    if not inventory:
        raise pytest.UsageError("these tests need a host: give --inventory inventories/prod.py")
    state = State()
    state.cwd = str(ROOT)
    with ctx_state.use(state):
        made = make_inventory(inventory, override_data={"ssh_user": user} if user else None, cwd=str(ROOT))
        state.init(made, Config(), initial_limit=None)  # type: ignore[no-untyped-call]
    return [host for host in made if GROUP in host.groups]


def once_a_host(metafunc: pytest.Metafunc, fixture: str) -> None:
    """Each test that takes `fixture` runs once for each voice host that --inventory and --host choose.

    Raises:
        pytest.UsageError: as hosts_of, or there is no such host.
    """
    if fixture not in metafunc.fixturenames:
        return
    inventory, only = (metafunc.config.getoption(option) for option in ("--inventory", "--host"))
    names = [host.name for host in hosts_of(metafunc.config) if only in (None, host.name)]
    if not names:
        raise pytest.UsageError(f"{inventory} has no host {only or f'in its group {GROUP!r}'}")
    metafunc.parametrize(fixture, names, indirect=True, scope="session")
