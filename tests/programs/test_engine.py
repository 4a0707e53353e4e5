"""The programs around the engines: starting in turn, and a health check that means something."""

from __future__ import annotations

import contextlib
import http.server
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from on_host.engine import gpu_start, health

ENGINE = Path(gpu_start.__file__)

Answers = dict[str, tuple[int, str, bytes]]
"""Path -> status, content type, body."""


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers what the test put into `answers`."""

    answers: Answers

    def do_GET(self) -> None:
        status, content_type, body = self.answers.get(self.path, (404, "text/plain", b""))
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *arguments: object) -> None:
        """Tests print nothing."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Answers]]:
    """An engine of the test's choosing: its port and its answers."""
    answers: Answers = {"/health": (200, "text/plain", b"")}
    handler = type("Answers", (Handler,), {"answers": answers})
    monkeypatch.setattr(health, "PROVEN", tmp_path / "proven")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield str(listening.server_port), answers
        listening.shutdown()
        thread.join()


def test_voxtral_is_healthy_once_it_has_spoken(server: tuple[str, Answers]) -> None:
    port, answers = server
    answers["/v1/audio/speech"] = (200, "audio/wav", b"RIFF" + b"\0" * 40 + b"\1\2" * 12_000)
    health.check("voxtral", port, "de_female")
    del answers["/v1/audio/speech"]
    health.check("voxtral", port, "de_female")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((200, "application/json", b'{"error":{"message":"no"}}'), "application/json instead of a WAV file"),
        ((200, "audio/wav", b"RIFF" + b"\0" * 40 + b"\0\0" * 12_000), "silence"),
        ((400, "application/json", b'{"error":"Invalid speaker"}'), "Invalid speaker"),
    ],
)
def test_voxtral_is_not_healthy_when_it_does_not_speak(
    server: tuple[str, Answers], answer: tuple[int, str, bytes], expected: str
) -> None:
    port, answers = server
    answers["/v1/audio/speech"] = answer
    with pytest.raises(health.Unhealthy, match=expected):
        health.check("voxtral", port, "de_female")


@pytest.mark.parametrize(("verdict", "healthy"), [("unsafe\nS9", True), ("\n\nunsafe\nS1", True), ("safe", False)])
def test_the_guard_is_healthy_when_it_calls_the_unsafe_unsafe(
    server: tuple[str, Answers], verdict: str, healthy: bool
) -> None:
    port, answers = server
    body = json.dumps({"choices": [{"message": {"content": verdict}}]}).encode()
    answers["/v1/chat/completions"] = (200, "application/json", body)
    if healthy:
        health.check("guard", port, "llama-guard-3-1b")
    else:
        with pytest.raises(health.Unhealthy, match="called an unsafe request"):
            health.check("guard", port, "llama-guard-3-1b")


ENGINE_PROGRAM = """
import http.server, pathlib, sys, time
began, port, log = time.monotonic(), int(sys.argv[1]), pathlib.Path(sys.argv[2])
with log.open("a") as lines: lines.write(f"start {port}\\n")
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ready = time.monotonic() - began > 0.3
        if ready and not marked:
            marked.append(1)
            with log.open("a") as lines: lines.write(f"ready {port}\\n")
        self.send_response(200 if ready else 503); self.end_headers()
    def log_message(self, *a): pass
marked = []
http.server.HTTPServer(("127.0.0.1", port), Health).serve_forever()
"""


def free_ports(count: int) -> list[int]:
    """Ports that nobody has: engines are told theirs before they start."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def start(tmp_path: Path, port: int, *options: str, program: str = ENGINE_PROGRAM) -> subprocess.Popen[str]:
    engine = [sys.executable, "-c", program, str(port), str(tmp_path / "log")]
    words = [
        f"--lock={tmp_path / 'lock'}",
        f"--health=http://127.0.0.1:{port}/health",
        "--timeout=30",
        "--memory-mib=100",
    ]
    return subprocess.Popen(
        [sys.executable, str(ENGINE), *words, *options, "--", *engine], stdout=subprocess.PIPE, text=True
    )


def log_of(tmp_path: Path, count: int, *engines: subprocess.Popen[str]) -> list[str]:
    """The engines' own log once it has `count` lines; then they are told to end, and do."""
    file, lines = tmp_path / "log", list[str]()
    try:
        for _ in range(300):
            lines = file.read_text().splitlines() if file.exists() else []
            if len(lines) >= count:
                return lines
            threading.Event().wait(0.1)
        raise AssertionError(f"only {lines}")
    finally:
        for engine in engines:
            engine.terminate()
        assert {engine.wait(10) for engine in engines} == {128 + signal.SIGTERM}


def test_engines_started_at_once_warm_up_one_after_the_other(tmp_path: Path) -> None:
    log = log_of(tmp_path, 4, *(start(tmp_path, port) for port in free_ports(2)))
    first, second = log[0].split()[1], log[2].split()[1]
    assert log == [f"start {first}", f"ready {first}", f"start {second}", f"ready {second}"]


def test_an_engine_waits_for_the_one_it_comes_after(tmp_path: Path) -> None:
    first, second = free_ports(2)
    guard = start(tmp_path, second, f"--after=http://127.0.0.1:{first}/health")
    threading.Event().wait(1)  # longer than it takes to start: it could have the lock by now
    log = log_of(tmp_path, 4, guard, start(tmp_path, first))
    assert log.index(f"ready {first}") < log.index(f"start {second}")


def test_an_engine_that_dies_hands_on_its_status_and_the_lock(tmp_path: Path) -> None:
    first, second = free_ports(2)
    failing = start(tmp_path, first, program="import sys; sys.exit(7)")
    assert failing.wait(20) == 7
    assert log_of(tmp_path, 2, start(tmp_path, second)) == [f"start {second}", f"ready {second}"]


@pytest.mark.parametrize(
    ("answer", "free"),
    [("4509", True), ("4508", False), ("4600\n100", True), ("NVIDIA-SMI has failed", True), ("", True)],
)
def test_an_engine_waits_for_the_mebibytes_that_it_will_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, free: bool
) -> None:
    """The container sees its own card first; a figure that cannot be had is left to the engine."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '%s' '{answer}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert gpu_start.memory_is_free(4509) is free
