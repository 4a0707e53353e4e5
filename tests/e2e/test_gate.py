"""The gate on a Debian 13 host with the whole stack: a caller is answered, and each broken leg is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import ARTEFACTS, LabHost, Run, await_that, deployed_host, refused_by_bedrock
from tests.lab.places import DESCRIPTION

pytestmark = pytest.mark.usefixtures("lab_services")

PROGRAM = "deploys/verify.py"


@pytest.fixture(scope="module")
def host(lab_services: None) -> LabHost:
    return deployed_host("debian")


def verify(host: LabHost, report: Path, **data: object) -> tuple[Run, dict[str, Any]]:
    """A run of the gate and its document for this host."""
    settings = {"gate_report": report, **data}
    options = [word for key, value in settings.items() for word in ("--data", f"{key}={value}")]
    run = host.deploy(*options, program=PROGRAM)
    return run, json.loads(report.read_text())["hosts"][host.name]


@contextmanager
def container(host: LabHost, service: str, do: str, undo: str) -> Iterator[None]:
    """One service in trouble, and out of it again, with the agent healthy as before."""
    host.shell(f"docker {do} voice-{service}-1")
    try:
        yield
    finally:
        host.shell(f"docker {undo} voice-{service}-1")
        await_that(lambda: healthy(host), "the agent is healthy again", 180)


def healthy(host: LabHost) -> bool:
    """Whether the agent says so now: Docker goes on saying it until three checks have failed.

    LiveKit looks for an agent once, when a room is made: a caller who comes before the agent is back has none.
    """
    return host.shell("curl -sf http://127.0.0.1:8081/", check=False) != ""


def test_a_caller_is_answered(host: LabHost, tmp_path: Path) -> None:
    """What was heard is kept: .artefacts/debian-reply.wav and -refusal.wav."""
    before = host.containers()
    run, document = verify(host, tmp_path / "report.json", gate_recordings=ARTEFACTS)
    assert run.status == 0, run.printed[-6000:]
    assert document["passed"]
    assert {"transcript", "first_token", "guard", "first_audio", "reply", "heard"} <= document["latency_ms"][
        "reply"
    ].keys()
    assert (ARTEFACTS / "debian-reply.wav").read_bytes().startswith(b"RIFF")
    assert host.containers() == before


def test_rotation_restarts_who_reads_the_secret_and_the_old_one_is_refused(host: LabHost, tmp_path: Path) -> None:
    before = host.containers()
    keys = host.shell("sha256sum < /opt/voice/livekit/keys.yaml")
    run, document = verify(host, tmp_path / "report.json", gate_rotation="true")
    assert run.status == 0, run.printed[-6000:]
    assert document["passed"]
    after = host.containers()
    assert {name for name in before if before[name] != after.get(name)} == {"voice-livekit-1", "voice-voice-agent-1"}
    assert host.shell("sha256sum < /opt/voice/livekit/keys.yaml") == keys


@pytest.mark.parametrize(
    ("service", "do", "undo", "leg"),
    [
        ("vllm-guard", "stop", "start", "guard"),
        ("voice-agent", "stop", "start", "worker"),
        ("caddy", "stop", "start", "caddy"),
        ("livekit", "stop", "start", "livekit"),
    ],
)
def test_a_stopped_service_is_named(host: LabHost, tmp_path: Path, service: str, do: str, undo: str, leg: str) -> None:
    with container(host, service, do, undo):
        run, document = verify(host, tmp_path / "report.json", gate_patience_s=30)
    assert run.status == 1
    assert document["failure"]["leg"] == leg
    assert "Traceback" not in run.printed


def test_a_language_model_that_denies_is_named(host: LabHost, tmp_path: Path) -> None:
    with refused_by_bedrock(host.name):
        run, document = verify(host, tmp_path / "report.json", gate_patience_s=30)
    assert run.status == 1
    assert document["failure"]["leg"] == "llm"


def test_speech_that_is_json_is_named(host: LabHost, tmp_path: Path) -> None:
    control = "docker exec voice-vllm-voxtral-1 curl -sf -X POST 'http://127.0.0.1:8001/lab/{}'"
    host.shell(control.format("broken?for=1000"))
    try:
        run, document = verify(host, tmp_path / "report.json", gate_patience_s=30)
    finally:
        host.shell(control.format("reset"))
    assert run.status == 1
    assert document["failure"]["leg"] == "tts"


def test_a_certificate_of_another_authority_is_named(host: LabHost, tmp_path: Path) -> None:
    root = "/var/lib/voice/caddy/data/caddy/pki/authorities/local/root.crt"
    host.shell(
        f"cp -p {root} /root/root.crt; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
        f"-subj /CN=other -keyout /dev/null -out {root} 2>/dev/null"
    )
    try:
        run, document = verify(host, tmp_path / "report.json", gate_patience_s=30)
    finally:
        host.shell(f"cp -p /root/root.crt {root}")
    assert run.status == 1
    assert document["failure"]["leg"] == "caddy"


def test_nothing_that_was_said_is_in_a_log_or_a_metric(host: LabHost, tmp_path: Path) -> None:
    verify(host, tmp_path / "report.json")
    logs = host.shell("docker ps -q | xargs -n 1 docker logs 2>&1; journalctl --no-pager -o cat")
    metrics = host.shell("curl -s http://127.0.0.1:8081/metrics")
    assert "voice_turns_total" in metrics
    for words in ("open in the morning", "Saturday", "everything is closed", "kill someone", "ask me your question"):
        assert words not in logs
        assert words not in metrics


@contextmanager
def no_way_but_to_peers(host: LabHost) -> Iterator[Callable[[], int]]:
    """The agent's user reaches this host, Bedrock and the metadata service; yields a count of packets turned away."""
    bedrock_at = urlsplit(json.loads(DESCRIPTION.read_text())["bedrock"]["url"])
    host.shell(
        "iptables -N AGENT; iptables -A AGENT -o lo -j ACCEPT; "
        f"iptables -A AGENT -d {bedrock_at.hostname} -p tcp --dport {bedrock_at.port} -j ACCEPT; "
        "iptables -A AGENT -d 169.254.169.254 -p tcp --dport 80 -j ACCEPT; iptables -A AGENT -j REJECT; "
        "iptables -A OUTPUT -m owner --uid-owner 10001 -j AGENT; "
        "ip6tables -A OUTPUT ! -o lo -m owner --uid-owner 10001 -j REJECT"
    )

    def turned_away() -> int:
        tables = host.shell("iptables -L AGENT -v -n -x; ip6tables -L OUTPUT -v -n -x")
        return sum(int(line.split()[0]) for line in tables.splitlines() if " REJECT " in line)

    try:
        yield turned_away
    finally:
        host.shell(
            "iptables -D OUTPUT -m owner --uid-owner 10001 -j AGENT; iptables -F AGENT; iptables -X AGENT; "
            "ip6tables -D OUTPUT ! -o lo -m owner --uid-owner 10001 -j REJECT"
        )


def test_the_agent_starts_and_answers_with_no_way_to_the_outside(host: LabHost, tmp_path: Path) -> None:
    """It does not even try: no packet is turned away, until the test sends one to see that it would be."""
    with no_way_but_to_peers(host) as turned_away:
        host.shell("docker restart voice-voice-agent-1")
        await_that(lambda: healthy(host), "the agent is healthy", 180)
        run, document = verify(host, tmp_path / "report.json")
        assert run.status == 0, run.printed[-6000:]
        assert document["passed"]
        assert turned_away() == 0
        outside = "import socket; socket.create_connection(('192.0.2.1', 443), 3)"
        host.shell(f'docker exec voice-voice-agent-1 /opt/venv/bin/python -c "{outside}"', check=False)
        assert turned_away() > 0
