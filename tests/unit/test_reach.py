"""Healthy is who answers where he is used: at the host's port, by name from another container."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_server
from threading import Thread
from typing import Any

import pytest

from on_host import docker
from on_host.start import compare, reach, services, start
from on_host.start.waiting import NotHealthyError

NAMES = ("vllm-voxtral", "vllm-guard")
WELL = {"Status": "running", "StartedAt": "2026-11-23T14:00:00Z", "Health": {"Status": "healthy"}}


class Draining(BaseHTTPRequestHandler):
    """An answer that is no success; whether the service is well is not the question here."""

    def do_GET(self) -> None:
        self.send_error(503)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server that answers."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Draining) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign] # a connection that asks nothing
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def dead_port() -> int:
    """Nothing listens there."""
    with create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def test_any_answer_is_one_and_a_proxy_is_not_asked(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert reach.problem(f"http://127.0.0.1:{port}/health") == ""
    assert reach.problem(f"tcp://127.0.0.1:{port}") == ""


def test_a_closed_port_is_said_in_the_systems_words(dead_port: int) -> None:
    for scheme in ("http", "tcp"):
        assert "Connection refused" in reach.problem(f"{scheme}://127.0.0.1:{dead_port}/health", 0)


def test_a_port_that_leads_nowhere_takes_connections_and_answers_none() -> None:
    """As docker-proxy does before a container that does not listen."""
    with create_server(("127.0.0.1", 0)) as listening:

        def hang_up() -> None:
            listening.accept()[0].close()

        hanging_up = Thread(target=hang_up, daemon=True)
        hanging_up.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/health"
        assert reach.problem(url, 0) != ""
        hanging_up.join()


def test_what_comes_late_is_waited_for(dead_port: int) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", dead_port), Draining, bind_and_activate=False)

    def begin() -> None:
        server.server_bind()
        server.server_activate()
        server.serve_forever()

    answers: list[str] = []
    asking = Thread(target=lambda: answers.append(reach.problem(f"http://127.0.0.1:{dead_port}/")))
    asking.start()
    Thread(target=begin, daemon=True).start()
    asking.join(20)
    server.shutdown()
    server.server_close()
    assert answers == [""]


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A docker that runs here, with Python's own modules alone, what shall run in the container "c", the only one."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    asked = f'[ "${{*:1:5}}" = "exec -i c python3 -" ] && exec {sys.executable} -IS "${{@:5}}"'
    program.write_text(f"#!/bin/bash\n{asked}\necho OCI runtime exec failed\nexit 126\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return program


@pytest.mark.usefixtures("container")
def test_from_a_container_the_same_is_asked(port: int, dead_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reach.problem_from("c", f"http://localhost:{port}/health") == ""
    assert "Connection refused" in reach.problem_from("c", f"http://127.0.0.1:{dead_port}/", 0)


@pytest.mark.usefixtures("container")
def test_a_container_that_cannot_be_asked_says_nothing_of_the_network() -> None:
    assert reach.problem_from("ended", "http://127.0.0.1:1/") == ""


class Host:
    """Two engines that Docker calls healthy; `dead` are the ports and names where nothing answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dead: set[str] = set()
        self.made_anew_mends = True
        self.asked: list[str] = []
        self.composed: list[tuple[str, ...]] = []
        self.states = {name: dict(WELL) for name in NAMES}
        asked = {name: compare.Wanted("h", "i", "", "") for name in NAMES}
        self.started = {name: compare.Started("h", name, "", "") for name in NAMES}
        self.plan: dict[str, Any] = {
            "groups": [["vllm-voxtral"], ["vllm-guard"]],
            "timeouts": dict.fromkeys(NAMES, 5),
            "reloads": {},
            "reached": {name: [f"http://{name}.host/health"] for name in NAMES},
            "reaches": {"vllm-guard": {"vllm-voxtral": "http://voxtral.name/health"}},
        }
        monkeypatch.setattr(docker, "containers", self.containers)
        monkeypatch.setattr(docker, "log_lines", lambda *_: [])
        monkeypatch.setattr(docker, "compose_up", self.compose_up)
        monkeypatch.setattr(compare, "recorded", lambda: self.started)
        monkeypatch.setattr(compare, "record", self.started.__setitem__)
        monkeypatch.setattr(compare, "definitions", dict)
        monkeypatch.setattr(compare, "wanted", lambda *_: asked)
        monkeypatch.setattr(services, "plan", lambda: self.plan)
        monkeypatch.setattr(start, "plan", lambda: self.plan)
        monkeypatch.setattr(reach, "problem", self.problem)
        monkeypatch.setattr(reach, "problem_from", self.problem_from)

    def containers(self) -> dict[str, Any]:
        well: dict[str, Any] = {"Image": "i", "RestartCount": 0, "Config": {"Healthcheck": {"Test": ["CMD", "true"]}}}
        return {name: {**well, "Id": name, "State": state} for name, state in self.states.items()}

    def compose_up(self, tell: Callable[[str], object], *words: str) -> tuple[int, list[str]]:
        self.composed.append(words)
        if self.made_anew_mends and "--force-recreate" in words:
            self.dead.clear()
        return 0, []

    def problem(self, url: str) -> str:
        self.asked.append(url)
        return "refused" if url in self.dead else ""

    def problem_from(self, container: str, url: str) -> str:
        return self.problem(f"{container}: {url}").replace("refused", "no such name")

    def check(self) -> dict[str, str]:
        return dict(services.differences(services.wanted(), self.plan, NAMES))


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(monkeypatch)


PORT = "http://vllm-voxtral.host/health"
NAME = "vllm-guard: http://voxtral.name/health"


def test_all_is_well_when_each_answers_where_it_is_used(host: Host) -> None:
    assert host.check() == {}
    assert host.asked == [PORT, "http://vllm-guard.host/health", NAME]
    assert list(services.bring_up()) == []
    assert host.composed == []


def test_check_names_the_port_at_which_a_healthy_service_does_not_answer(host: Host) -> None:
    host.dead.add(PORT)
    assert host.check() == {"vllm-voxtral": "is not reachable at vllm-voxtral.host (refused)"}


def test_check_names_what_a_container_does_not_reach_and_not_what_is_unwell_itself(host: Host) -> None:
    host.dead.add(NAME)
    assert host.check() == {"vllm-guard": "does not reach voxtral.name (no such name)"}
    host.states["vllm-voxtral"]["Health"] = {"Status": "starting"}
    assert host.check() == {"vllm-voxtral": "is starting"}


def test_an_old_releases_plan_asks_nowhere(host: Host) -> None:
    host.dead |= {PORT, NAME}
    del host.plan["reached"], host.plan["reaches"]
    assert host.check() == {}


@pytest.mark.parametrize(("dead", "service"), [(PORT, "vllm-voxtral"), (NAME, "vllm-guard")])
def test_who_is_not_reached_is_made_anew_and_nobody_else(host: Host, dead: str, service: str) -> None:
    host.dead.add(dead)
    assert list(services.bring_up()) == [service]
    assert host.composed == [("--force-recreate", service)]
    assert host.check() == {}


@pytest.mark.parametrize(
    ("dead", "said"),
    [
        (PORT, "vllm-voxtral is not reachable at vllm-voxtral.host (refused)."),
        (NAME, "vllm-guard does not reach voxtral.name (no such name)."),
    ],
)
def test_healthy_inside_and_not_reached_is_not_healthy(host: Host, dead: str, said: str) -> None:
    host.made_anew_mends = False
    host.dead.add(dead)
    with pytest.raises(NotHealthyError) as caught:
        list(services.bring_up())
    assert str(caught.value).startswith(said)


def test_what_a_service_waits_for_is_tried_before_its_health_is_awaited(host: Host) -> None:
    """The guard waited 900 s for a name that does not resolve."""
    host.states["vllm-guard"] = {"Status": "running", "StartedAt": WELL["StartedAt"], "Health": {"Status": "starting"}}
    host.plan["timeouts"]["vllm-guard"] = 900
    host.dead.add(NAME)
    with pytest.raises(NotHealthyError, match=r"vllm-guard does not reach voxtral\.name"):
        list(services.bring_up())
