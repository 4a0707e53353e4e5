"""What this repository uses of pyinfra's and paramiko's insides, which no document of theirs promises.

pyinfra 3.10 has no hook, setting or function for these (docs/decisions/pyinfra.md). Nothing else in this repository
reaches into them, and tests/unit/test_pyinfra_insides.py says in words which one is gone after an upgrade.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import paramiko
from pyinfra.api import facts
from pyinfra.api.command import StringCommand
from pyinfra.connectors.util import CommandOutput, make_unix_command_for_host

if TYPE_CHECKING:
    from pyinfra.api.arguments import ConnectorArguments
    from pyinfra.api.host import Host
    from pyinfra.api.operation import OperationMeta
    from pyinfra.api.state import State


def harden() -> None:
    """Every connection of this process: no delay for small packets, no SHA-1 signatures. Safe to call twice.

    paramiko leaves Nagle's algorithm on, and against a delayed ACK that costs 40 ms a command; neither it nor pyinfra
    has a setting for it. paramiko 4 accepts ssh-rsa (SHA-1) host keys and signatures (CVE-2026-44405); pyinfra 3.10
    holds it below 5 (pyinfra 1742).
    """
    if getattr(paramiko.Transport.__init__, "hardened", False):
        return
    original = paramiko.Transport.__init__

    def connect(self: paramiko.Transport, sock: Any, *arguments: Any, **options: Any) -> None:
        original(self, sock, *arguments, **options)
        # A tunnel's end (connect/tunnel.py) is no TCP socket; the one behind it has the option.
        if isinstance(self.sock, socket.socket) and self.sock.family in (socket.AF_INET, socket.AF_INET6):
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Disabled, not only taken off the list: SSHClient puts it back in front for a host with an RSA key in
        # known_hosts. Such a host can still sign with rsa-sha2-512.
        self.disabled_algorithms = {"keys": ["ssh-rsa"], "pubkeys": ["ssh-rsa"]}

    connect.hardened = True  # type: ignore[attr-defined]
    paramiko.Transport.__init__ = connect  # type: ignore[method-assign]


def withhold_arguments() -> None:
    """Have pyinfra's errors name a fact without its arguments: ours ask many things at once, which is pages."""
    facts.get_kwargs_str = lambda kwargs: "(what the host said stands above)"  # type: ignore[attr-defined]


def when_hosts_are_known(state: State, check: Callable[[State], object]) -> None:
    """Have `check` called once `state` knows inventory, data and limits, before anything connects.

    pyinfra offers no hook between loading the inventory and connecting (its callbacks are reset in between), so
    the state's `init`, which is the last step before the connections, is wrapped.
    """
    original = state.init

    def init(*arguments: Any, **options: Any) -> None:
        original(*arguments, **options)
        check(state)

    state.init = init  # type: ignore[method-assign]


def begin_program(host: Host, program: StringCommand) -> tuple[Any, Any, Any]:
    """Start a program on the host's connection that goes on beside the run: its stdin, stdout and stderr.

    `run_shell_command` returns when a command ends; the lock's program ends when the run does.
    """
    command = make_unix_command_for_host(host.state, host, program, _sudo=host.data.get("_sudo", False))
    client = host.connector.client  # type: ignore[attr-defined]
    stdin, stdout, stderr = client.exec_command(command.get_raw_value())
    return stdin, stdout, stderr


def operations(state: State, host: Host) -> dict[str, OperationMeta]:
    """The host's operations by their hash, in the order in which they run; pyinfra's callbacks name only the hash."""
    return {op_hash: data.operation_meta for op_hash, data in state.ops[host].items()}


class OwnCommand(StringCommand):
    """A shell command that does more than run: a subclass says what, in `carry_out`.

    pyinfra keeps a command's output to itself unless `-vvv` is given, and prints all of it when the command fails.
    """

    def execute(self, state: State, host: Host, connector_arguments: ConnectorArguments) -> tuple[bool, CommandOutput]:
        """Called by pyinfra; the output is not returned, because pyinfra would print it again on failure."""
        arguments: dict[str, Any] = {**connector_arguments, **self.connector_arguments}
        return self.carry_out(host, {"print_input": state.print_input, **arguments}), CommandOutput([])

    def carry_out(self, host: Host, arguments: dict[str, Any]) -> bool:
        """Do it, with `arguments` for `host.run_shell_command`; whether it went well."""
        raise NotImplementedError
