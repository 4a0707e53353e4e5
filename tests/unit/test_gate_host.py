"""The gate on the host: what the container is given, what may stop it, and a rotation that always goes back."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from on_host import docker
from on_host.verify import host, rotation
from on_host.verify import run as running
from on_host.verify.request import KeyPair, Request
from on_host.verify.run import Verification
from voicestack.settings.model import Settings
from voicestack.verify import operations
from voicestack.verify.request import request

AGENT = {
    "AGENT_HEALTH_PORT": "8081",
    "AGENT_NAME": "",
    "TTS_URL": "http://127.0.0.1:8001",
    "TTS_VOICE": "de_female",
    "TTS_MODEL": "voxtral-4b-tts",
    "FASTER_WHISPER_MODEL": "/models/faster-whisper-large-v3",
    "AGENT_LANGUAGE": "de",
    "AGENT_PUBLISH_TRANSCRIPTS": "true",
    "GUARD_REFUSAL": "Darüber spreche ich nicht.",
}
BEFORE = KeyPair("APIbefore", "b" * 48)


@pytest.fixture
def wanted(settings: Settings) -> Request:
    return request(settings, AGENT)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stack's home with a key pair, and keys.sh where the program carries it."""
    place = tmp_path / "home"
    for module in (rotation, host, running):
        monkeypatch.setattr(module, "HOME", place)
    script = tmp_path / "place" / rotation.KEYS
    script.parent.mkdir(parents=True)
    script.write_bytes(Path("voicestack/stack", rotation.KEYS).read_bytes())
    rotation.put(tmp_path / "place", BEFORE)
    return place


class Stack:
    """Containers that start.py recreates: those that read the pair, when it changed."""

    def __init__(self, home: Path) -> None:
        self.home, self.pair, self.status = home, rotation.current_pair(home), 0
        self.generation = 0
        self.also = ""

    def containers(self) -> dict[str, Any]:
        made = {name: self.generation for name in (*rotation.READERS, self.also) if name}
        names = ("livekit", "caddy", "vllm-voxtral", "vllm-guard", "voice-agent")
        state = {"Status": "running", "StartedAt": "t"}
        return {name: {"Id": f"{name}{made.get(name, 0)}", "State": state} for name in names}

    def start(self) -> tuple[int, list[str]]:
        if rotation.current_pair(self.home) != self.pair:
            self.pair, self.generation = rotation.current_pair(self.home), self.generation + 1
        return self.status, ["voice-agent: healthy after 3 s"]


@pytest.fixture
def stack(home: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    made = Stack(home)
    monkeypatch.setattr(docker, "containers", made.containers)
    monkeypatch.setattr(rotation, "start", made.start)
    return made


class Noting(Verification):
    """A verification whose container only notes what it was asked, and under which pair; or ends once with `end`."""

    def __init__(self, place: Path, wanted: Request, home: Path) -> None:
        super().__init__(place, wanted, "sha256:image")
        self.home, self.asked = home, list[tuple[KeyPair, Request]]()
        self.end: BaseException | None = None

    def probe(self, request: Request, within: str = "") -> None:
        if self.end:
            end, self.end = self.end, None
            raise end
        self.asked.append((rotation.current_pair(self.home), request))
        self.check(within, "a dispatch reaches the agent", "worker", True, "it joined")


@pytest.fixture
def run(stack: Stack, wanted: Request, tmp_path: Path) -> Noting:
    return Noting(tmp_path / "place", wanted, stack.home)


def test_the_request_survives_the_way_and_shows_no_secret(wanted: Request) -> None:
    with_pair = wanted.only("reachable", revoked=(BEFORE,))
    assert Request.from_json(with_pair.to_json()) == with_pair
    assert BEFORE.secret not in repr(with_pair)
    assert "\n" not in with_pair.to_json()


def test_the_request_says_what_the_agent_is_told(wanted: Request) -> None:
    assert wanted.refusal == AGENT["GUARD_REFUSAL"]
    assert wanted.health_url == "http://127.0.0.1:8081/"
    assert wanted.transcripts
    assert not wanted.keep_recordings
    assert wanted.probes == ("reachable", "conversation")


def test_the_container_may_do_little_and_its_words_hold_no_secret(wanted: Request, home: Path) -> None:
    words = running.container_command(Path("/run/voice-gate"), wanted.only("reachable", revoked=(BEFORE,)), "image")
    assert BEFORE.secret not in " ".join(words)
    assert {"--read-only", "--rm", "--interactive"} <= set(words)
    assert words[words.index("--cap-drop") + 1] == "ALL"
    assert words[words.index("--pull") + 1] == "never"
    assert words[words.index("--log-driver") + 1] == "none"
    assert words[words.index("--env-file") + 1] == str(home / "secrets" / "livekit.env")
    assert all(word.endswith("readonly") for word in words if word.startswith("type=bind"))
    assert not any("SSL_CERT_FILE" in word for word in words)


def test_a_rotation_restarts_the_readers_twice_and_ends_where_it_began(run: Noting, stack: Stack) -> None:
    rotation.rotate(run)
    assert run.report.passed, run.report.failure
    assert rotation.current_pair(stack.home) == BEFORE
    (new, first), (back, second) = run.asked
    assert new != BEFORE == back
    assert (first.revoked, second.revoked) == ((BEFORE,), (new,))
    assert first.probes == second.probes == ("reachable",)
    assert {check.probe for check in run.report.checks} == {"rotation"}
    assert "livekit.env.2" in run.report.notes[-1]


def test_a_rotation_tells_no_secret(run: Noting, capsys: pytest.CaptureFixture[str]) -> None:
    rotation.rotate(run)
    told = capsys.readouterr().out + json.dumps(run.report.document())
    for pair, _ in run.asked:
        assert pair.secret not in told


def test_services_that_read_nothing_must_not_restart(run: Noting, stack: Stack) -> None:
    stack.also = "caddy"
    rotation.rotate(run)
    assert run.report.failure
    assert run.report.failure.detail == "caddy, livekit, voice-agent"
    assert rotation.current_pair(stack.home) == BEFORE


def test_a_stack_that_does_not_come_back_gets_its_pair_again(run: Noting, stack: Stack) -> None:
    stack.status = 1
    rotation.rotate(run)
    assert not run.report.passed
    assert run.asked == []
    assert rotation.current_pair(stack.home) == BEFORE


@pytest.mark.parametrize("end", [SystemExit(143), OSError("full")])
def test_whatever_happens_in_the_middle_the_pair_goes_back(run: Noting, stack: Stack, end: BaseException) -> None:
    run.end = end
    # Being told to end stays so; what failed is a finding, no traceback.
    with pytest.raises(SystemExit) if isinstance(end, SystemExit) else contextlib.nullcontext():
        rotation.rotate(run)
    assert run.report.passed == isinstance(end, SystemExit)
    assert rotation.current_pair(stack.home) == BEFORE
    assert stack.pair == BEFORE


def test_a_pair_that_cannot_be_put_back_is_told_with_the_way_to_do_it(
    run: Noting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise subprocess.CalledProcessError(1, ["bash"])

    monkeypatch.setattr(rotation, "put", broken)
    rotation.rotate(run)
    assert "by hand" in run.report.checks[-1].cause


def test_a_host_without_the_stack_is_told_so(wanted: Request, tmp_path: Path) -> None:
    run = Verification(tmp_path, wanted, image="")
    host.verify(run)
    assert run.report.failure is not None
    assert run.report.failure.leg == "gate"
    assert "deploys/voice.py" in run.report.failure.detail


def test_states_say_how_a_container_is() -> None:
    healthy = {"Status": "healthy"}
    present = {
        "caddy": {"State": {"Status": "running", "Health": healthy}},
        "livekit": {"State": {"Status": "exited", "Health": healthy}},
        "voice-agent": {"State": {"Status": "paused", "Health": healthy}},
    }
    assert running.states(present) == {
        "caddy": "running, healthy",
        "livekit": "exited",
        "voice-agent": "paused, healthy",
    }


@pytest.mark.parametrize("program", ["", "#!/bin/sh\nexit 1\n"], ids=["no Docker", "one that does not answer"])
def test_without_dockers_answer_there_are_no_services(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    """To start.py that is an error; here what needs Docker next says so."""
    if program:
        (tmp_path / "docker").write_text(program)
        (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert running.services() == {}
    with pytest.raises((OSError, subprocess.CalledProcessError)):
        docker.containers()


def test_the_address_is_the_one_that_livekit_was_told(home: Path) -> None:
    assert host.public_address() == ""
    (home / "livekit" / "livekit.yaml").write_text("rtc:\n  tcp_port: 7881\n  node_ip: 192.0.2.10\n")
    assert host.public_address() == "192.0.2.10"


def test_the_probes_run_in_this_clones_agent_whoevers_takes_the_calls(home: Path) -> None:
    assert host.tools_image() == ""
    (home / "compose.yml").write_text("x-tools: voice-agent:ours\nservices:\n  a:\n    image: voice-agent:theirs\n")
    assert host.tools_image() == "voice-agent:ours"
    (home / "compose.yml").write_text("services:\n  a:\n    image: voice-agent:before\n")
    assert host.tools_image() == "voice-agent:before"


def test_the_program_is_complete_and_holds_no_secret(wanted: Request) -> None:
    files = operations._program(wanted)
    assert set(files) > {"on_host/__init__.py", "on_host/verify/host.py", "request.json", rotation.KEYS}
