"""The lab itself: coming up twice, and beside the leftovers of a crash."""

from __future__ import annotations

import os
import signal

import pytest

from tests.e2e.conftest import LabHost, lab
from tests.lab import machine

pytestmark = pytest.mark.usefixtures("lab_services")
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


def test_up_leaves_alone_what_is_up() -> None:
    host = LabHost("ubuntu")
    before = host.shell(BOOT_ID)
    lab("up", "ubuntu")
    assert host.shell(BOOT_ID) == before


def test_up_brings_back_a_host_whose_supervisor_was_killed() -> None:
    host = LabHost("ubuntu")
    machine_id = host.shell("cat /etc/machine-id")
    supervisor = machine.supervisor("ubuntu").pid()
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    lab("up", "ubuntu")
    assert host.shell("cat /etc/machine-id") == machine_id


def test_a_host_without_a_card_is_refused_by_preflight() -> None:
    """The host that the next module makes anew."""
    lab("fresh", "ubuntu", "--no-gpu")
    run = LabHost("ubuntu").deploy()
    assert run.status == 1
    assert "ubuntu failed preflight with 1 finding; nothing was changed" in run.printed
    assert "no NVIDIA GPU on the PCI bus" in run.printed
