"""The owner's branch of the code: a host that presents itself as Ubuntu 24.04, as user ubuntu through sudo.

Same Debian root filesystem, Ubuntu's os-release and package names from the lab's archive; /etc/voice-lab says so.
"""

from __future__ import annotations

import pytest

from deploys.stack.render import SERVICES
from tests.e2e.conftest import LabHost, fresh_host
from tests.e2e.test_debian import healthy


@pytest.fixture(scope="module")
def host(lab_services: None) -> LabHost:
    return fresh_host("ubuntu")


def test_a_bare_host_becomes_a_healthy_stack(host: LabHost) -> None:
    run = host.deploy()
    assert run.status == 0, run.printed[-4000:]
    assert healthy(host) == sorted(SERVICES)


def test_the_driver_is_ubuntus_prebuilt_and_signed_one(host: LabHost) -> None:
    packages = host.shell("dpkg-query -W -f '${Package}\\n'").split()
    assert "nvidia-headless-no-dkms-580-server-open" in packages
    assert not [package for package in packages if "dkms" in package and "no-dkms" not in package]


def test_a_second_run_changes_nothing_and_restarts_nothing(host: LabHost) -> None:
    before = host.containers()
    run = host.deploy()
    assert run.status == 0, run.printed[-4000:]
    assert run.changed == []
    assert host.containers() == before


def test_testinfra_agrees(host: LabHost) -> None:
    result = host.host_tests()
    assert result.returncode == 0, result.stdout[-4000:]
