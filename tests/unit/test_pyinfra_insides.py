"""What voicestack/pyinfra_insides.py relies on is still in pyinfra and paramiko; if not, words say what is gone."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Generator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import paramiko
import pytest
from pyinfra.api import facts
from pyinfra.api.command import StringCommand
from pyinfra.api.config import Config
from pyinfra.api.connect import connect_all
from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.api.operation import OperationMeta, add_op, operation
from pyinfra.api.operations import run_ops
from pyinfra.api.state import BaseStateCallback, State, StateOperationHostData
from pyinfra.api.util import get_kwargs_str
from pyinfra.connectors import util
from pyinfra.connectors.ssh import SSHConnector

from voicestack.pyinfra_insides import (
    OwnCommand,
    begin_program,
    operations,
    when_hosts_are_known,
    withhold_arguments,
)

ROOT = Path(__file__).resolve().parents[2]


VERSIONS = f"pyinfra {version('pyinfra')} with paramiko {version('paramiko')}"


@pytest.mark.parametrize(
    ("owner", "name", "arguments", "breaks"),
    [
        (State, "init", {"inventory", "config"}, "settings are not checked"),
        (
            StringCommand,
            "execute",
            {"state", "host", "connector_arguments"},
            "installs print nothing, or do nothing",
        ),
        (SSHConnector, "run_shell_command", {"command", "print_output", "print_input", "arguments"}, "the same"),
        (util, "make_unix_command_for_host", {"state", "host", "command"}, "the lock is not taken"),
        (paramiko.SSHClient, "exec_command", {"command"}, "the lock is not taken"),
        (facts, "get_kwargs_str", {"kwargs"}, "errors print a fact's arguments"),
        (paramiko.Transport, "__init__", {"sock", "disabled_algorithms"}, "SHA-1 is accepted"),
    ],
)
def test_a_function_that_is_relied_on_is_there(owner: object, name: str, arguments: set[str], breaks: str) -> None:
    function = getattr(owner, name, None)
    has = inspect.signature(function).parameters.keys() if function else set[str]()
    missing = sorted(arguments - has)
    assert not missing, f"{VERSIONS}: {name} has no {missing}, so {breaks}: mend voicestack/pyinfra_insides.py"


def test_attributes_that_are_relied_on_are_there() -> None:
    """Those that are read; the tests below read them, and say less clearly that they are gone."""
    there = {
        "State.ops": hasattr(local_state(), "ops"),
        "StateOperationHostData.operation_meta": "operation_meta" in StateOperationHostData.__annotations__,
        "OperationMeta.did_change": hasattr(OperationMeta, "did_change"),
        "SSHConnector.client": hasattr(SSHConnector, "client"),
        "Host.connector": "connector" in Host.__annotations__,
    }
    missing = [name for name, found in there.items() if not found]
    assert not missing, f"{VERSIONS}: there is no {missing}: mend voicestack/pyinfra_insides.py"


def test_nothing_else_reaches_into_them() -> None:
    """A patch, a look into pyinfra's state, or a command that pyinfra is to execute in another way."""
    found = []
    for path in {*(ROOT / "voicestack").rglob("*.py"), *(ROOT / "deploys").glob("*.py"), ROOT / "config.py"}:
        if path.name == "pyinfra_insides.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = ast.unparse(node)
            looks = isinstance(node, ast.Attribute) and text in ("state.ops", "host.connector", "host.state.ops")
            executes = isinstance(node, ast.FunctionDef) and node.name == "execute"
            patches = isinstance(node, ast.Assign) and text.startswith(("paramiko.", "State.", "state.init"))
            if looks or executes or patches:
                found.append(f"{path.relative_to(ROOT)}: {text[:80]}")
    assert found == []


def local_state() -> State:
    """pyinfra on this machine."""
    return State(Inventory((["@local"], {})), Config())  # type: ignore[no-untyped-call]


class Asked(OwnCommand):
    """Notes with what it was carried out."""

    arguments: dict[str, Any] | None = None

    def carry_out(self, host: Host, arguments: dict[str, Any]) -> bool:
        """Run it as any other."""
        type(self).arguments = arguments
        return host.run_shell_command(self, **arguments)[0]


class Seen(BaseStateCallback):
    """The operations as the lock's record sees them, each with whether it changed something."""

    def __init__(self) -> None:
        self.at: list[tuple[str, dict[str, OperationMeta]]] = []

    def operation_end(self, state: State, op_hash: str) -> None:  # type: ignore[override]
        """Note them."""
        (host,) = state.inventory
        self.at.append((op_hash, operations(state, host)))


def test_pyinfra_carries_out_our_commands_and_its_operations_are_seen() -> None:
    state = local_state()
    connect_all(state)

    @operation()
    def ask() -> Generator[StringCommand, None, None]:
        yield Asked("cat", _stdin="hello")

    @operation()
    def leave() -> Generator[StringCommand, None, None]:
        yield from ()

    seen = Seen()
    state.add_callback_handler(seen)  # type: ignore[no-untyped-call]
    add_op(state, ask)
    add_op(state, leave)
    run_ops(state)
    assert Asked.arguments is not None
    assert Asked.arguments["_stdin"] == "hello"
    assert Asked.arguments["print_input"] is state.print_input
    (first, _), (last, its) = seen.at
    assert list(its) == [first, last]
    assert [each.did_change() for each in its.values()] == [True, False]


class Refused(facts.FactBase[str]):
    """What no host answers."""

    def command(self, files: str) -> str:
        """Say why, and fail."""
        return f": {files}; echo going down >&2; false"


def test_a_fact_that_fails_is_named_without_its_arguments(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(facts, "get_kwargs_str", get_kwargs_str)
    state = local_state()
    connect_all(state)
    (host,) = state.inventory

    def said() -> str:
        caplog.clear()
        facts.get_fact(state, host, Refused, kwargs={"files": "/etc/one"}, apply_failed_hosts=False)
        return caplog.text

    assert "/etc/one" in said()
    withhold_arguments()
    assert "Refused (what the host said stands above)" in (text := said())
    assert "/etc/one" not in text + capfd.readouterr().out


def test_a_check_is_called_when_the_hosts_are_known() -> None:
    state, known = State(), list[str]()
    when_hosts_are_known(state, lambda known_by: known.extend(host.name for host in known_by.inventory))
    assert known == []
    state.init(Inventory((["@local"], {})), Config())  # type: ignore[no-untyped-call]
    assert known == ["@local"]


def test_a_program_begins_on_the_connection_that_the_run_has(monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        def exec_command(self, command: str) -> tuple[str, str, str]:
            return "stdin", "stdout", command

    state = local_state()
    (host,) = state.inventory
    monkeypatch.setattr(host.connector, "client", Client(), raising=False)
    assert begin_program(host, StringCommand("cat"))[2] == "sh -c cat"
    host.data._sudo = True
    assert begin_program(host, StringCommand("cat"))[2].startswith("sudo ")
