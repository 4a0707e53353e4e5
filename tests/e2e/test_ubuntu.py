"""The owner's branch of the code: a host that presents itself as Ubuntu 24.04, as user ubuntu through sudo.

Somebody has used it before: it has the distribution's Docker with a configuration of its own, and an apt entry for
Docker's repository with another key.

Same Debian root filesystem, Ubuntu's os-release and package names from the lab's archive; /etc/voice-lab says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import LabHost, assert_a_run_changes_nothing, fresh_host
from tests.e2e.test_debian import healthy
from tests.lab.lock import locked
from tests.lab.packages.kernel import NEWER_RELEASE, RELEASE
from tests.lab.places import DESCRIPTION
from voicestack.stack.render import SERVICES

RIVAL = "/etc/apt/sources.list.d/docker.list"
INVENTORY = Path(__file__).with_name("inventory.sh")
BEFORE = "/var/log/voice-lab-before-the-deploy"
"""On the host: what it had; test_ubuntu_teardown.py compares."""


def used_host() -> LabHost:
    """A fresh host that somebody has used."""
    host = fresh_host("ubuntu")
    repository = json.loads(DESCRIPTION.read_text())["apt"]["url"] + "/docker"
    host.shell("mkdir -p /etc/docker && tee /etc/docker/daemon.json", stdin='{"dns": ["192.0.2.53"], "debug": true}')
    host.shell("export DEBIAN_FRONTEND=noninteractive; apt-get -qq update && apt-get -qqy install docker.io")
    host.shell(f"tee {RIVAL}", stdin=f"deb [signed-by=/etc/apt/keyrings/docker.asc] {repository} noble stable\n")
    host.shell(f"sh > {BEFORE}", stdin=INVENTORY.read_text())
    return host


@pytest.fixture(scope="module")
def host(lab_services: None) -> Iterator[LabHost]:
    with locked("hub", shared=True):
        yield used_host()


def test_a_used_host_becomes_a_healthy_stack(host: LabHost) -> None:
    run = host.deploy()
    assert run.status == 0, run.printed[-4000:]
    assert healthy(host) == sorted(SERVICES)


def test_what_was_there_is_merged_or_kept_aside(host: LabHost) -> None:
    config = json.loads(host.shell("cat /etc/docker/daemon.json"))
    assert config["dns"] == ["192.0.2.53"]
    assert config["live-restore"] is True
    before = json.loads(host.shell("cat /etc/docker/daemon.json.before-voice"))
    assert before == {"dns": ["192.0.2.53"], "debug": True}
    assert host.shell(f"ls {RIVAL}*") == f"{RIVAL}.before-voice"
    installed = host.shell("dpkg-query -W -f '${Package} ${db:Status-Status}\\n'")
    assert "docker.io installed" not in installed
    assert "docker-ce installed" in installed


def test_the_driver_is_ubuntus_prebuilt_and_signed_one(host: LabHost) -> None:
    packages = host.shell("dpkg-query -W -f '${Package}\\n'").split()
    assert "nvidia-headless-no-dkms-580-server-open" in packages
    assert not [package for package in packages if "dkms" in package and "no-dkms" not in package]


def test_the_running_kernels_modules_spared_the_host_a_reboot(host: LabHost) -> None:
    """The metapackage's are for a newer kernel; nothing held the card (EC2's Ubuntu images have no nouveau)."""
    installed = host.shell("dpkg-query -W -f '${Package} ${db:Status-Status}\\n' 'linux-modules-nvidia-*'").splitlines()
    assert f"linux-modules-nvidia-580-server-open-{RELEASE} installed" in installed
    assert f"linux-modules-nvidia-580-server-open-{NEWER_RELEASE} installed" in installed
    assert len(json.loads(host.shell("journalctl --list-boots -o json"))) == 1


def test_a_second_run_changes_nothing_and_restarts_nothing(host: LabHost) -> None:
    assert_a_run_changes_nothing(host)


def test_testinfra_agrees(host: LabHost) -> None:
    result = host.host_tests()
    assert result.returncode == 0, result.stdout[-4000:]
