"""Mistakes in the inventory and the settings are reported before pyinfra connects to any host."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from pyinfra import logger
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.connectors.ssh import SSHConnector

from voicestack.connect import prerequisites, runs_a_deploy
from voicestack.paths import ROOT
from voicestack.pyinfra_insides import when_hosts_are_known
from voicestack.secrets import run as secrets
from voicestack.secrets.run import RunSecrets, SecretsError
from voicestack.settings.load import SettingsError, parse, run_is_checked
from voicestack.settings.model import Settings

GROUP = "voice"
"""The inventory group whose hosts are voice stacks; other hosts are none of our business."""


class HostsError(PyinfraError):
    """No hosts, where pyinfra itself would do nothing and exit with 0, or hosts that these deploys cannot work on."""


def check_before_connecting(state: State) -> None:
    """Have `state` check the settings of its voice hosts once it knows inventory, data and limits.

    Raises:
        PyinfraError: Python finds voicestack elsewhere than beside the config.py that calls this.
    """
    here = Path("config.py").resolve().parent
    if here != ROOT:
        raise PyinfraError(f"this clone, {here}, would run the code of another one, {ROOT}: run `make setup` here")
    when_hosts_are_known(state, check)


def check(state: State) -> None:
    """Check that this run has hosts, the settings of its voice hosts, and its secrets, which it keeps for the run.

    Raises:
        HostsError: if the inventory is empty (or its file does not exist) or the limit matches none, or if a deploy of
            ours would run on a host that is not in GROUP, so that its settings go unchecked, or is not reached by ssh.
        SettingsError: with the mistakes of all hosts; hosts with the same mistakes share a message.
        SecretsError: if the secrets alone are wrong.
    """
    if not len(state.inventory):
        raise HostsError("the inventory has no hosts; does its file exist, and is the lab up?")
    limited = [host for host in state.inventory if state.is_host_in_limit(host)]
    if not limited:
        names = ", ".join(sorted(host.name for host in state.inventory))
        raise HostsError(f"--limit matches none of the inventory's hosts ({names})")
    if runs_a_deploy(sys.argv[1:]):
        _refuse_foreign(limited)
    ours: list[Any] = [host for host in limited if GROUP in host.groups]
    loaded: list[Settings] = []
    messages: dict[str, list[str]] = {}
    for host in ours:
        try:
            loaded.append(parse(host.data.dict()))
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
        raise SettingsError("\n".join([*problems, *_also_needed(ours)]))
    secrets.use(given)
    run_is_checked()


def _refuse_foreign(hosts: list[Host]) -> None:
    for host in hosts:
        if not issubclass(host.connector_cls, SSHConnector):
            raise HostsError(
                f"{host.name} is not reached by ssh, which these deploys need: name the host's address in an inventory "
                "(inventories/example.py)"
            )
        if GROUP not in host.groups:
            raise HostsError(
                f"{host.name} is not in the inventory group {GROUP}, so nothing says that it is a voice host: put "
                f"it there (inventories/example.py), or leave it out by --limit {GROUP}"
            )


def _also_needed(hosts: list[Any]) -> list[str]:
    """On a first run, which is one without a domain, what the next refusal would be about."""
    without = [host for host in hosts if not host.data.get("site_domain")]
    if not without:
        return []
    token = prerequisites.token(os.environ, without[0].data.dict())
    return ["also needed, as far as can be known now:", *(f"  - {each}" for each in (*token, prerequisites.DNS))]


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
