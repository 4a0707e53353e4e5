"""Mistakes in the inventory and the settings are reported before pyinfra connects to any host."""

from __future__ import annotations

from typing import Any

from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.state import State

from deploys.settings import SettingsError, load

GROUP = "voice"
"""The inventory group whose hosts are voice stacks; other hosts are none of our business."""


class NoHostsError(PyinfraError):
    """A run without hosts; pyinfra itself would do nothing and exit with 0."""


def check_before_connecting(state: State) -> None:
    """Have `state` check the settings of its voice hosts once it knows inventory, data and limits.

    pyinfra offers no hook between loading the inventory and connecting (its callbacks are reset in between), so
    the state's `init`, which is the last step before the connections, is wrapped.
    """
    original = state.init

    def init(*arguments: Any, **options: Any) -> None:
        original(*arguments, **options)
        check(state)

    state.init = init  # type: ignore[method-assign]


def check(state: State) -> None:
    """Check that this run has hosts, and the settings of its voice hosts.

    Raises:
        NoHostsError: if the inventory is empty (or its file does not exist) or the limit matches none.
        SettingsError: with the mistakes of all hosts; hosts with the same mistakes share a message.
    """
    if not len(state.inventory):
        raise NoHostsError("the inventory has no hosts; does its file exist, and is the lab up?")
    if not any(state.is_host_in_limit(host) for host in state.inventory):
        names = ", ".join(sorted(host.name for host in state.inventory))
        raise NoHostsError(f"--limit matches none of the inventory's hosts ({names})")
    messages: dict[str, list[str]] = {}
    for host in state.inventory:
        if GROUP not in host.groups or not state.is_host_in_limit(host):
            continue
        try:
            load(host)
        except SettingsError as error:
            messages.setdefault(str(error), []).append(host.name)
    if messages:
        raise SettingsError("\n".join(f"{', '.join(names)}: {text}" for text, names in messages.items()))
