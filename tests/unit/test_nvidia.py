"""The driver's state, nvidia-uvm's nodes before Docker, and modules for the kernel that runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.render.matrix import PLATFORMS
from voicestack.host.base import DOCKER_AFTER_GPU
from voicestack.host.nvidia import UVM_SERVICE, Driver, DriverState, wanted_packages
from voicestack.host.packages import AptState, difference
from voicestack.host.platform import Platform
from voicestack.settings.model import Settings

UBUNTU, DEBIAN = PLATFORMS["ubuntu2404"], PLATFORMS["debian13"]
MODULES = f"linux-modules-nvidia-580-server-open-{UBUNTU.kernel}"

READY = [
    *("loaded\t580.95.05", "installed\t580.95.05", "smi\t580.95.05", "persistence\tEnabled", "uvm\tyes", "boot\tb"),
]


def test_without_the_nodes_of_nvidia_uvm_the_driver_is_not_ready() -> None:
    """In the field nvidia-smi, module and persistence mode were all right and cuInit said 999."""
    assert Driver().process(READY).is_ready
    without = Driver().process([line for line in READY if not line.startswith("uvm")])
    assert without.agrees
    assert without.persistent
    assert not without.is_ready
    assert not DriverState().is_ready


@pytest.mark.parametrize("platform", PLATFORMS.values(), ids=PLATFORMS)
def test_docker_starts_after_the_module_is_loaded_and_its_nodes_are_made(
    settings: Settings, platform: Platform
) -> None:
    unit = wanted_packages(settings, platform).files[f"/etc/systemd/system/{UVM_SERVICE}"].splitlines()
    assert "ExecStart=/sbin/modprobe nvidia-uvm" in unit
    assert "ExecStart=/usr/bin/nvidia-ctk system create-device-nodes --control-devices" in unit
    # Without [Install] and RemainAfterExit: every start of Docker runs it.
    assert "[Install]" not in unit
    drop_in = DOCKER_AFTER_GPU.splitlines()
    assert f"Wants=nvidia-persistenced.service {UVM_SERVICE}" in drop_in
    assert f"After=nvidia-persistenced.service {UVM_SERVICE}" in drop_in


def test_ubuntus_modules_for_the_running_kernel_come_where_possible(settings: Settings) -> None:
    """The flavour's metapackage brings those of the newest kernel: a host with an older image's had to reboot."""
    wanted = wanted_packages(settings, UBUNTU)
    assert wanted.where_possible == (MODULES,)
    assert "linux-modules-nvidia-580-server-open-aws" in wanted.install
    assert wanted_packages(settings, DEBIAN).where_possible == ()


def test_another_kernel_later_is_no_difference(settings: Settings) -> None:
    wanted = wanted_packages(settings, UBUNTU)
    later = wanted_packages(settings, replace(UBUNTU, kernel="6.14.0-1015-aws"))
    state = AptState(installed={name: version or "1" for name, version in wanted.install.items()})
    for each in (wanted, later):
        change = difference(each, state)
        assert change.install == ()
        assert MODULES not in change.hold
