"""Mistakes in the inventory and the settings are reported before pyinfra connects to any host."""

from __future__ import annotations

import os
from typing import Any

from pyinfra import logger
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.state import State

from deploys.access import secrets
from deploys.access.secrets import RunSecrets, SecretsError
from deploys.settings import Settings, SettingsError, load

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
    """Check that this run has hosts, the settings of its voice hosts, and its secrets, which it keeps for the run.

    Raises:
        NoHostsError: if the inventory is empty (or its file does not exist) or the limit matches none.
        SettingsError: with the mistakes of all hosts; hosts with the same mistakes share a message.
        SecretsError: if the secrets alone are wrong.
    """
    if not len(state.inventory):
        raise NoHostsError("the inventory has no hosts; does its file exist, and is the lab up?")
    if not any(state.is_host_in_limit(host) for host in state.inventory):
        names = ", ".join(sorted(host.name for host in state.inventory))
        raise NoHostsError(f"--limit matches none of the inventory's hosts ({names})")
    loaded: list[Settings] = []
    messages: dict[str, list[str]] = {}
    for host in state.inventory:
        if GROUP not in host.groups or not state.is_host_in_limit(host):
            continue
        try:
            loaded.append(load(host))
        except SettingsError as error:
            messages.setdefault(str(error), []).append(host.name)
    problems = [f"{', '.join(names)}: {text}" for text, names in messages.items()]
    try:
        given = _read_secrets(loaded, ask_stores=not problems)
    except SecretsError as error:
        if not problems:
            raise
        problems.append(str(error))
    if problems:
        raise SettingsError("\n".join(problems))
    secrets.use(given)


def _read_secrets(loaded: list[Settings], *, ask_stores: bool) -> RunSecrets:
    """The secrets of a run on hosts with these settings; says where each comes from.

    AWS's stores are not asked while a host's settings, and with them its allowed regions, are unknown.

    Raises:
        SecretsError: with a line for each that cannot be used.
    """
    regions = [settings.site.allowed_regions for settings in loaded] if ask_stores else []
    given = secrets.read(os.environ, regions)
    unwanted = [settings.site.domain for settings in loaded if settings.agent.aws_keys == "none"]
    if given.pair(secrets.AGENT_PAIR) and unwanted:
        raise SecretsError(f"{secrets.AGENT_PAIR[0]} is given, but agent_aws_keys = 'none' for {', '.join(unwanted)}")
    logger.info(f"secrets: {given.origin()}")
    return given
