"""testinfra over pyinfra's own connection: whatever an inventory says of how a host is reached holds here too."""

from __future__ import annotations

import functools
from typing import Any

import paramiko
import testinfra.host
from testinfra.backend.paramiko import ParamikoBackend

from voicestack.pyinfra_insides import harden


class ThroughPyinfra(ParamikoBackend):  # type: ignore[misc]  # testinfra has no types
    """One connection for a suite, by any of pyinfra's connectors that speak ssh."""

    NAME = "pyinfra"

    def __init__(self, host: Any) -> None:
        super().__init__(host.name, sudo=bool(host.data.get("_sudo", False)))
        self._pyinfra = host

    @functools.cached_property
    def client(self) -> paramiko.SSHClient:
        """Connected; testinfra forgets it when the connection was lost, and asks for another."""
        harden()
        self._pyinfra.connected = False
        self._pyinfra.connect(raise_exceptions=True)
        made: paramiko.SSHClient = self._pyinfra.connector.client
        return made


def handle(host: Any) -> Any:
    """testinfra's handle of a pyinfra host."""
    return testinfra.host.Host(ThroughPyinfra(host))
