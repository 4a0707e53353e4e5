"""lab.json: what inventories and group_data of the lab read about the lab that is up."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tests.lab import machine, ssh
from tests.lab.places import DESCRIPTION, HOST_ADDRESSES


def write(about: Mapping[str, object]) -> None:
    """Publish the description, whole or not at all."""
    hosts = {name: _host(name) for name in HOST_ADDRESSES if machine.root_of(name).exists()}
    beside = DESCRIPTION.with_suffix(".new")
    beside.write_text(json.dumps({**about, "hosts": hosts}, indent=2) + "\n")
    beside.replace(DESCRIPTION)


def services() -> dict[str, object]:
    """What the description says now about everything but the hosts."""
    if not DESCRIPTION.exists():
        return {}
    described: dict[str, object] = json.loads(DESCRIPTION.read_text())
    return {key: value for key, value in described.items() if key != "hosts"}


def _host(name: str) -> dict[str, str]:
    return {
        "address": HOST_ADDRESSES[name],
        "user": ssh.USERS[name],
        "key": str(ssh.KEY),
        "known_hosts": str(ssh.KNOWN_HOSTS),
        "root": str(machine.root_of(name)),
    }
