"""The audit on a host with the whole stack: silent on a healthy one, and every difference found at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import LabHost, Run, assert_a_run_changes_nothing, await_that, deployed_host

pytestmark = pytest.mark.usefixtures("lab_services")

PROGRAM = "deploys/audit.py"
EVERYTHING = (
    "find /opt/voice /etc /models /var/lib/voice /root /usr/local /boot -xdev "
    r"! -path '/var/lib/voice/caddy/*' -printf '%p %T@ %C@ %m %U %s\n' | sort | sha256sum"
)
"""Where a run writes, with modification and change times; Caddy writes its own directory by itself."""


@pytest.fixture(scope="module")
def host(lab_services: None) -> LabHost:
    host = deployed_host("debian")
    await_that(lambda: serves(host), "Caddy has its certificate", 120)
    return host


def serves(host: LabHost) -> bool:
    """Whether Caddy has its certificate."""
    return host.shell("ls /var/lib/voice/caddy/data/caddy/certificates/local/*/*.crt", check=False) != ""


def audit(host: LabHost, report: Path, **data: object) -> tuple[Run, dict[str, Any]]:
    """A run of the audit and its document for this host; it changed nothing there."""
    before = host.containers(), host.shell(EVERYTHING)
    settings = {"audit_report": report, **data}
    options = [word for key, value in settings.items() for word in ("--data", f"{key}={value}")]
    run = host.deploy(*options, program=PROGRAM)
    assert (host.containers(), host.shell(EVERYTHING)) == before
    assert run.changed == []
    return run, json.loads(report.read_text())["hosts"][host.name]


def found(document: dict[str, Any], severity: str) -> set[tuple[str, str]]:
    """Area and subject of the findings of one severity, but for those about commits, which the work under way makes."""
    all_of_them = document["findings"]
    return {
        (each["area"], each["subject"])
        for each in all_of_them
        if each["severity"] == severity and each["area"] != "release"
    }


@pytest.fixture
def damage(host: LabHost) -> Iterator[None]:
    """What hands do to a host; what a deploy does not mend is undone at the end."""
    host.shell(
        "sed -i 's/respond 404/respond 200/' /opt/voice/caddy/Caddyfile; chmod 644 /opt/voice/secrets/livekit.env; "
        "sed -i \"s/^AGENT_GREETING=.*/AGENT_GREETING='Mein Name ist Hase'/\" /opt/voice/env/voice-agent.env; "
        "docker stop voice-vllm-guard-1; mkdir -p /models/stranger && touch /models/stranger/weights.bin; "
        "apt-mark unhold nvidia-container-toolkit; touch /run/reboot-required /opt/voice/notes.txt; "
        "docker create --name stranger --entrypoint sleep $(docker inspect -f '{{.Image}}' voice-livekit-1) 1; "
        "systemd-run --unit=stranger python3 -m http.server 9999"
    )
    await_that(lambda: ":9999" in host.shell("ss -Hlnt"), "the stranger listens")
    yield
    host.shell(
        "systemctl stop stranger; docker rm -f stranger; rm -f /run/reboot-required /opt/voice/notes.txt; "
        "chmod 600 /opt/voice/secrets/livekit.env; rm -rf /models/.replaced/stranger-*"
    )


def test_a_healthy_host_is_as_this_clone_makes_it(host: LabHost, tmp_path: Path) -> None:
    run, document = audit(host, tmp_path / "report.json")
    assert run.status == 0, run.printed[-6000:]
    assert document["passed"]
    assert (found(document, "fail"), found(document, "warn")) == (set(), set())
    areas = {each["area"] for each in document["findings"]}
    assert areas >= {"release", "files", "secrets", "containers", "packages", "docker", "driver", "ports", "weights"}


@pytest.mark.usefixtures("damage")
def test_everything_is_found_at_once_and_a_run_mends_what_is_ours(host: LabHost, tmp_path: Path) -> None:
    run, document = audit(host, tmp_path / "report.json")
    assert run.status == 1
    assert "Traceback" not in run.printed
    assert found(document, "fail") == {
        ("files", "/opt/voice/caddy/Caddyfile"),
        ("files", "/opt/voice/env/voice-agent.env"),
        ("secrets", "/opt/voice/secrets/livekit.env"),
        ("containers", "caddy"),
        ("containers", "voice-agent"),
        ("containers", "vllm-guard"),
        ("packages", "nvidia-container-toolkit"),
        ("weights", "/models/stranger"),
        ("ports", "tcp 8000"),
    }
    assert found(document, "warn") == {
        ("files", "/opt/voice/notes.txt"),
        ("containers", "stranger"),
        ("reboot", "/run/reboot-required"),
        ("ports", "tcp 0.0.0.0:9999"),
    }
    diffs = "\n".join(line for each in document["findings"] for line in each["diff"])
    assert "-\trespond 200" in diffs
    assert "+\trespond 404" in diffs
    assert "-AGENT_GREETING=" in diffs
    assert "Hase" not in run.printed + json.dumps(document)
    mended = host.deploy()
    assert mended.status == 0, mended.printed[-4000:]
    after, document = audit(host, tmp_path / "report.json")
    assert after.status == 1  # who could read the secret is for a person to ask
    assert found(document, "fail") == {("secrets", "/opt/voice/secrets/livekit.env")}


def test_the_host_is_healthy_again_and_a_run_changes_nothing(host: LabHost, tmp_path: Path) -> None:
    run, document = audit(host, tmp_path / "report.json")
    assert run.status == 0, run.printed[-6000:]
    assert (found(document, "fail"), found(document, "warn")) == (set(), set())
    assert_a_run_changes_nothing(host)


def test_an_edit_that_the_service_has_loaded_is_mended_in_the_service_too(host: LabHost, tmp_path: Path) -> None:
    """To Compose nothing changed, and by its content neither for us: the time of the file tells."""
    answers = "curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8088/elsewhere"
    host.shell("sed -i 's/respond 404/respond 200/' /opt/voice/caddy/Caddyfile; docker restart voice-caddy-1")
    await_that(lambda: host.shell(answers, check=False) == "200", "Caddy has the edit")
    _, document = audit(host, tmp_path / "report.json")
    assert found(document, "fail") == {("files", "/opt/voice/caddy/Caddyfile"), ("containers", "caddy")}
    before = host.containers()
    mended = host.deploy()
    assert mended.status == 0, mended.printed[-4000:]
    assert "caddy: its file changed, which it reloads" in mended.printed
    assert host.containers() == before
    assert host.shell(answers) == "404"
    assert_a_run_changes_nothing(host)


def test_no_secret_is_printed_or_kept(host: LabHost, tmp_path: Path) -> None:
    host.shell("docker stop voice-caddy-1")
    try:
        options = ("--data", f"audit_report={tmp_path / 'report.json'}", "-vvv")
        run = host.deploy(*options, program=PROGRAM)
    finally:
        host.shell("docker start voice-caddy-1")
    assert run.status == 1
    secret = host.shell("cut -d ' ' -f 2 /opt/voice/livekit/keys.yaml")
    assert secret not in run.printed + (tmp_path / "report.json").read_text()


def test_a_host_whose_files_compose_cannot_read_is_still_reported(host: LabHost, tmp_path: Path) -> None:
    host.shell("echo 'nonsense: [' >> /opt/voice/compose.yml")
    try:
        run, document = audit(host, tmp_path / "report.json")
    finally:
        mended = host.deploy()
    assert mended.status == 0, mended.printed[-4000:]
    assert run.status == 1
    assert ("files", "/opt/voice/compose.yml") in found(document, "fail")
    assert ("containers", "start.py --check") in found(document, "fail")
