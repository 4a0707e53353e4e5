"""Mistakes in the settings are reported before pyinfra connects to any host."""

from __future__ import annotations

from pyinfra.api.host import Host
from pyinfra.api.state import BaseStateCallback, State

from deploys.settings import SettingsError, load

GROUP = "voice"
"""The inventory group whose hosts are voice stacks; other hosts are none of our business."""


class CheckBeforeConnect(BaseStateCallback):
    """Checks the settings of every voice host before the first connection."""

    checked = False

    @classmethod
    def host_before_connect(cls, state: State, host: Host) -> None:
        """Pyinfra calls this before each connection, reconnections included; once is enough.

        Raises:
            SettingsError: with the mistakes of all hosts.
        """
        if cls.checked:
            return
        messages: dict[str, list[str]] = {}
        for each in state.inventory:
            if GROUP not in each.groups or not state.is_host_in_limit(each):
                continue
            try:
                load(each)
            except SettingsError as error:
                messages.setdefault(str(error), []).append(each.name)
        if messages:
            raise SettingsError("\n".join(f"{', '.join(names)}: {message}" for message, names in messages.items()))
        cls.checked = True
