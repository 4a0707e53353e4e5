"""A release that does not become healthy goes, the one before comes back, nothing else is touched (on host ubuntu)."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.documented import documented_command
from tests.e2e.conftest import (
    ARTEFACTS,
    ROOT,
    LabHost,
    Run,
    assert_a_run_changes_nothing,
    await_that,
    copied,
    deployed_host,
)

pytestmark = pytest.mark.usefixtures("lab_services")

BACK = "deploys/rollback.py"
CALLER = "voice-e2e-caller"
STARTER = "python3 /opt/voice/bin/start.py"
DOMAIN = "voice.lab.example.org"
NO_PROGRAM = 'image: {{ caddy_image }}\n    command: ["caddy", "run", "--config", "/nowhere"]'


@pytest.fixture(scope="module")
def host(lab_services: None) -> LabHost:
    return deployed_host("ubuntu")


def in_use(host: LabHost) -> int:
    return int(host.shell("readlink /opt/voice/releases/current"))


def broken(host: LabHost, service: str, *options: str, said: str, root: Path = ROOT) -> Run:
    """A run whose release breaks one service: it comes back by itself, the others are not touched."""
    before, release = host.containers(), in_use(host)
    run = host.deploy(*options, root=root)
    assert run.status == 1
    assert said in run.printed
    told = rf"release \d+ did not become healthy because of {service}; release {release} is back, healthy after \d+ s"
    assert re.search(told, run.printed), run.printed[-4000:]
    after = host.containers()
    others = before.keys() - {f"voice-{service}-1"}
    assert after.keys() == before.keys()
    assert {name: after[name] for name in others} == {name: before[name] for name in others}
    assert in_use(host) == release
    assert_a_run_changes_nothing(host)
    return run


@pytest.mark.parametrize(
    ("service", "template", "good", "bad", "said"),
    [
        ("livekit", "livekit.yaml.j2", '["127.0.0.1"]', '["203.0.113.1"]', "livekit ended 3 times"),
        ("caddy", "compose.yml.j2", "image: {{ caddy_image }}", NO_PROGRAM, "caddy ended 3 times"),
        ("vllm-voxtral", "compose.yml.j2", "- --omni\n", "- --omnibus\n", "vllm-voxtral ended 3 times"),
        ("vllm-guard", "compose.yml.j2", "--max-model-len=", "--max-model-length=", "vllm-guard ended 3 times"),
    ],
)
def test_a_broken_configuration_of_one_service_gives_way(
    host: LabHost, tmp_path: Path, service: str, template: str, good: str, bad: str, said: str
) -> None:
    """Each is accepted by who reads it before it is placed, and found out by the service alone."""
    file = copied(tmp_path) / "templates" / template
    assert file.read_text().count(good) == 1
    file.write_text(file.read_text().replace(good, bad))
    run = broken(host, service, said=said, root=tmp_path)
    assert re.search(rf"{service}: back on release \d+ \d+ s after the failure", run.printed)


def test_a_setting_that_the_agent_refuses_gives_way(host: LabHost) -> None:
    broken(host, "voice-agent", "--data", "site_language=de", said="the weights know English only")


def test_a_broken_image_gives_way(host: LabHost) -> None:
    """It is there and it is no vLLM: there is no python3 in it."""
    broken(host, "vllm-guard", "--data", "image_vllm_guard=caddy:2.11.7-alpine", said="docker compose up failed")


def test_an_image_that_changed_under_its_name_gets_its_old_id_back(host: LabHost) -> None:
    name = "livekit/livekit-server:v1.13.5"
    before = host.shell(f"docker image inspect -f '{{{{.Id}}}}' {name}")
    host.shell(f"docker tag python:3.13-slim-trixie {name}")
    broken(host, "livekit", said="docker compose up failed")
    assert host.shell(f"docker image inspect -f '{{{{.Id}}}}' {name}") == before


def differences(host: LabHost) -> dict[str, str]:
    return dict(json.loads(host.shell(f"{STARTER} --check").splitlines()[-1]))


def mended(host: LabHost, service: str) -> None:
    """A run makes this one service anew, and it answers at the host's port."""
    before = host.containers()
    run = host.deploy()
    assert run.status == 0, run.printed[-4000:]
    after = host.containers()
    others = after.keys() - {f"voice-{service}-1"}
    assert {name: after[name] for name in others} == {name: before[name] for name in others}
    assert after[f"voice-{service}-1"] != before.get(f"voice-{service}-1")
    assert differences(host) == {}
    assert_a_run_changes_nothing(host)


def test_a_container_whose_port_was_taken_at_its_first_start_is_made_anew(host: LabHost) -> None:
    """Docker 29 starts it without a network the next time; inside it is healthy then, and the guard waits for ever."""
    listen = "import socket, time; s = socket.create_server(('127.0.0.1', 8000)); print(flush=True); time.sleep(600)"
    host.shell("docker rm -f voice-vllm-guard-1")
    host.shell(f'systemd-run -q -u port-taker python3 -c "{listen}"')
    await_that(lambda: "8000" in host.shell("ss -Hltn sport = :8000"), "the port is taken")
    try:
        assert "address already in use" in host.shell(f"{STARTER} 2>&1", check=False)
    finally:
        host.shell("systemctl stop port-taker")
    assert differences(host) == {"vllm-guard": "was never started"}
    mended(host, "vllm-guard")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("docker network disconnect voice_default voice-vllm-voxtral-1", "has no network"),
        ("pkill -f '[d]ocker-proxy .*-host-port 8001 '", "is not reachable at 127.0.0.1:8001 "),
    ],
)
def test_healthy_inside_its_container_alone_is_not_healthy(host: LabHost, fault: str, reason: str) -> None:
    host.shell(fault)
    assert host.shell("docker inspect -f '{{.State.Health.Status}}' voice-vllm-voxtral-1") == "healthy"
    found = differences(host)
    assert found["vllm-voxtral"].startswith(reason)
    assert "vllm-guard" not in found
    mended(host, "vllm-voxtral")


def test_a_caddyfile_that_caddy_cannot_run_leaves_the_old_one_serving(host: LabHost, tmp_path: Path) -> None:
    """`caddy validate` accepts an address that the host does not have."""
    file = copied(tmp_path) / "templates" / "Caddyfile.j2"
    file.write_text(file.read_text().replace("\tbind 127.0.0.1\n", "\tbind 203.0.113.1\n"))
    before = host.containers()
    with steady(host) as seen:
        broken(host, "caddy", said="caddy refuses its new file", root=tmp_path)
    assert_calls_go_on(seen, reloads=0)
    assert host.containers() == before


@contextmanager
def steady(host: LabHost) -> Iterator[dict[str, Any]]:
    """Callers' traffic meanwhile (steady.py); filled with what it saw."""
    agent = "docker exec -i voice-voice-agent-1"
    program = Path(__file__).with_name("steady.py").read_text()
    host.shell(f"{agent} sh -c 'rm -f /tmp/steady.*; cat > /tmp/steady.py'", stdin=program)
    host.shell(f"docker exec -d voice-voice-agent-1 /opt/venv/bin/python /tmp/steady.py {DOMAIN}")
    await_that(lambda: "ready" in host.shell(f"{agent} ls /tmp"), "the traffic runs")
    seen: dict[str, Any] = {}
    try:
        yield seen
    finally:
        host.shell(f"{agent} touch /tmp/steady.stop")
        await_that(lambda: "steady.json" in host.shell(f"{agent} ls /tmp"), "the traffic has ended")
        seen.update(json.loads(host.shell(f"{agent} cat /tmp/steady.json")))


def assert_calls_go_on(seen: dict[str, Any], reloads: int) -> None:
    """A reload may lose a few requests that begin in its moment (docs/decisions/releases.md), and nothing else."""
    ARTEFACTS.mkdir(exist_ok=True)
    (ARTEFACTS / "steady.json").write_text(json.dumps(seen))
    assert seen["requests"] >= 20
    assert len(seen["failed"]) <= 5 * reloads, seen["failed"]
    assert seen["websocket_open"]
    # A reload closes a kept connection once, between two requests, as any server may.
    assert seen["reopened"] <= reloads


def test_a_changed_caddyfile_is_reloaded_and_calls_go_on(host: LabHost) -> None:
    before = host.containers()
    with steady(host) as seen:
        for level in ("WARN", "INFO"):
            run = host.deploy("--data", f"caddy_log_level={level}")
            assert run.status == 0, run.printed[-4000:]
            assert "caddy: reloaded" in run.printed
    assert_calls_go_on(seen, reloads=2)
    assert host.containers() == before
    running = host.shell(
        "docker exec voice-caddy-1 curl -s --unix-socket /config/admin.sock http://localhost/config/logging/logs/default"
    )
    assert json.loads(running)["level"] == "INFO"


@contextmanager
def a_call(host: LabHost) -> Iterator[Callable[[], bool]]:
    """A call under way (caller.py), in a container that outlives the agent's; yields how to hang up, see there."""
    image = host.shell("docker inspect -f '{{.Image}}' voice-voice-agent-1")
    pair = "--env-file /opt/voice/secrets/livekit.env --env LIVEKIT_URL=ws://127.0.0.1:7880"
    host.shell(f"docker run -d --init --name {CALLER} --network host {pair} --entrypoint sleep {image} 600")
    program = (ROOT / "tests" / "e2e" / "caller.py").read_text()
    host.shell(f"docker exec -i {CALLER} sh -c 'cat > /tmp/caller.py'", stdin=program)
    host.shell(f"docker exec -d {CALLER} sh -c '/opt/venv/bin/python /tmp/caller.py stay > /tmp/said 2>&1'")

    def said(word: str) -> str:
        found = [line for line in host.shell(f"docker exec {CALLER} cat /tmp/said").splitlines() if word in line]
        return found[0] if found else ""

    def hang_up() -> bool:
        host.shell(f"docker exec {CALLER} touch /tmp/hang-up")
        await_that(lambda: said("agent_stayed") != "", "the caller has hung up")
        return bool(json.loads(said("agent_stayed"))["agent_stayed"])

    try:
        await_that(lambda: said("heard_s") != "", "the caller hears the agent")
        yield hang_up
    finally:
        host.shell(f"docker rm -f {CALLER}")


def test_a_call_under_way_ends_before_the_agent_is_replaced(host: LabHost) -> None:
    with a_call(host) as hang_up:
        agent = host.containers()["voice-voice-agent-1"]
        running = host.start_deploy("--data", "agent_silent_call_s=298")
        await_that(lambda: "draining" in host.shell("curl -s http://127.0.0.1:8081/ || true"), "the agent drains")
        assert host.containers()["voice-voice-agent-1"] == agent
        assert not running.is_over()
        assert hang_up()
    run = running.wait()
    assert run.status == 0, run.printed[-4000:]
    assert host.containers()["voice-voice-agent-1"] != agent
    assert host.deploy().status == 0


def test_back_by_hand_and_forward_again(host: LabHost) -> None:
    before, first = host.containers(), in_use(host)
    assert host.deploy("--data", "agent_silent_call_s=299").status == 0
    second = in_use(host)
    changed = host.containers()
    assert {name for name in before if before[name] != changed[name]} == {"voice-voice-agent-1"}
    to_the_first = ("--data", f"rollback_to={first}")
    run = host.deploy(*to_the_first, program=BACK)
    assert run.status == 0, run.printed[-4000:]
    assert "the next run of deploys/voice.py goes forward again" in run.printed
    assert in_use(host) == first
    back = host.containers()
    assert {name for name in changed if changed[name] != back[name]} == {"voice-voice-agent-1"}
    assert host.deploy(*to_the_first, program=BACK).changed == []
    assert_a_run_changes_nothing(host)
    forward = host.deploy("--data", "agent_silent_call_s=299")
    assert f"release {second} again, in the place of release {first}" in forward.printed
    assert in_use(host) == second
    assert host.deploy().status == 0
    assert in_use(host) == first


def test_a_release_that_is_not_there_is_refused_with_those_that_are(host: LabHost) -> None:
    before = host.containers(), in_use(host)
    run = host.deploy("--data", "rollback_to=4711", program=BACK)
    assert run.status == 1
    assert "release 4711 is not one of them" in run.printed
    assert f"{before[1]} (" in run.printed
    assert (host.containers(), in_use(host)) == before


def test_releases_are_roots_alone_and_not_more_than_are_kept(host: LabHost) -> None:
    modes = host.shell("stat -c '%a %U' /opt/voice/releases /opt/voice/releases/*/env/*.env | sort -u").splitlines()
    assert modes == ["600 root", "700 root"]
    kept = host.shell("grep -l '\"healthy\": true' /opt/voice/releases/*/release.json").splitlines()
    assert 2 <= len(kept) <= 6


def test_the_documents_figures_are_read_as_it_says(host: LabHost) -> None:
    """Of the runs above."""
    read = documented_command(
        "grep -e 'ended 3 times' -e 'back on release' .artefacts/deploy-ubuntu.log", {".artefacts": str(ARTEFACTS)}
    )
    assert subprocess.run(["bash", "-c", read], cwd=ROOT, capture_output=True, check=False).returncode == 0
