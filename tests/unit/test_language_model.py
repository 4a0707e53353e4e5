"""The end of a deploy: the agent's container asks Bedrock for one token, and the run says in words what is wrong."""

from __future__ import annotations

import ast
import json
import os
import subprocess
from pathlib import Path
from unittest.mock import patch

import pytest

from on_host import language_model
from on_host.language_model import WORDS, told
from on_host.verify.causes import turn_cause
from tests.unit.answering import Host, commands
from voicestack.stack import operations
from voicestack.stack.operations import Asked

ROOT = Path(__file__).resolve().parents[2]
MODEL, REGION = "eu.mistral.pixtral-large-2502-v1:0", "eu-central-1"


def kinds() -> set[str]:
    """What the agent can say; its module needs the agent's libraries."""
    tree = ast.parse((ROOT / "agent/voice_agent/bedrock_errors.py").read_text())
    (messages,) = (
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MESSAGES"
    )
    return set(ast.literal_eval(messages))


def test_every_kind_of_the_agents_has_words_here_and_in_the_gate() -> None:
    assert WORDS.keys() == kinds()
    assert {kind: turn_cause(f"llm: {kind}") for kind in WORDS} == WORDS


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("denied", ("bedrock:InvokeModelWithResponseStream", "agent_bedrock_model", "voicestack.launch")),
        ("no access", ("account", "agent_bedrock_model", "site_region")),
        ("ended", ("at its end", "legacy", "agent_bedrock_model", "python -m voicestack.bedrock")),
        ("unknown model", ("site_region", "agent_bedrock_model", "python -m voicestack.bedrock")),
        ("profile", ("on demand", "inference profile", "eu.")),
        ("credentials", ("role", "AGENT_AWS_ACCESS_KEY_ID", "clock", "enabled site_region")),
        ("throttled", ("quota",)),
        ("timeout", ("443",)),
        ("unreachable", ("agent_bedrock_url", "site_region", "443")),
    ],
)
def test_each_kind_names_the_setting_and_the_fix(kind: str, names: tuple[str, ...]) -> None:
    said = told(kind, MODEL, REGION)
    assert said.startswith(f"{MODEL} in {REGION}: ")
    assert [name for name in names if name not in said] == []
    assert said[-1] not in ".?"


def test_a_kind_of_a_newer_agent_is_said_as_it_is() -> None:
    assert told("bankrupt", MODEL, REGION).endswith(": bankrupt")
    assert not language_model.answered("bankrupt")


def answered(monkeypatch: pytest.MonkeyPatch, host: Host) -> list[str]:
    """What the operation would run on that host."""
    found = commands(monkeypatch, operations, "answer", host, model=MODEL, region=REGION)
    return [str(command) for command in found]


def test_a_model_that_answers_is_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host("")
    assert answered(monkeypatch, host) == []
    assert (host.asked, host.said) == ([{}], [f"{MODEL} in {REGION} answers"])


def test_a_plan_asks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host("denied", executing=False)
    assert answered(monkeypatch, host) == []
    assert host.asked == []


def test_a_busy_model_is_told_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host("throttled")
    assert answered(monkeypatch, host) == []
    assert host.said == [told("throttled", MODEL, REGION)]


@pytest.mark.parametrize("kind", [*sorted(WORDS.keys() - language_model.PASSING), language_model.UNASKED])
def test_a_model_that_does_not_answer_fails_the_host_in_words(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    (command,) = answered(monkeypatch, Host(kind))
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Bedrock does not answer the agent; ")
    assert told(kind, MODEL, REGION) in done.stderr
    assert "All services are healthy and stay" in done.stderr


# --- on the host ----------------------------------------------------------------------------------------------------


def ask(tmp_path: Path, docker: str) -> str:
    """What the fact makes of a host whose `docker` is this script."""
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\n{docker}\n")
    program.chmod(0o755)
    (tmp_path / "compose.yml").write_text("x-tools: voice-agent:ours\n")
    with patch.object(operations, "HOME", str(tmp_path)):
        command = Asked().command()
    done = subprocess.run(
        ["sh", "-c", command],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return Asked().process(done.stdout.splitlines()) if done.stdout else Asked().default()


@pytest.mark.parametrize("kind", ["", "ended"])
def test_the_agents_container_is_asked(tmp_path: Path, kind: str) -> None:
    said = json.dumps({"kind": kind})
    docker = f"""echo "$@" >> {tmp_path}/asked
[ "$1" = ps ] && echo 0123 && exit
[ "$1" = inspect ] && echo voice-agent:ours && exit
echo '{said}'; exit {1 if kind else 0}"""
    assert ask(tmp_path, docker) == kind
    asked = (tmp_path / "asked").read_text().splitlines()
    assert "label=com.docker.compose.service=voice-agent" in asked[0]
    assert asked[-1] == "exec 0123 /opt/venv/bin/python -m voice_agent bedrock"


@pytest.mark.parametrize("docker", ["exit 0", '[ "$1" = ps ] && echo 0123 && exit; echo no >&2; exit 126'])
def test_an_agent_that_cannot_ask_is_no_answer(tmp_path: Path, docker: str) -> None:
    assert ask(tmp_path, docker) == language_model.UNASKED
