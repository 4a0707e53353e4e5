"""Mistakes in the settings are reported before pyinfra connects to any host."""

from __future__ import annotations

from typing import Any

from pyinfra.api.state import State

from deploys.settings import SettingsError, load

GROUP = "voice"
"""The inventory group whose hosts are voice stacks; other hosts are none of our business."""


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
    """Check the settings of every voice host of this run.

    Raises:
        SettingsError: with the mistakes of all hosts; hosts with the same mistakes share a message.
    """
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
