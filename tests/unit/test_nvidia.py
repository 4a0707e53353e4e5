"""The driver's state, nvidia-uvm's nodes before Docker, and modules for the kernel that runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from voicestack.host import packages
from voicestack.host.apt import with_apt
from voicestack.host.base import DOCKER_AFTER_GPU
from voicestack.host.nvidia import UVM_SERVICE, Driver, DriverState, wanted_packages
from voicestack.host.packages import AptState, difference
from voicestack.host.platform import Platform
from voicestack.settings.model import Settings

UBUNTU = Platform("ubuntu", "2404", "noble", "6.14.0-1012-aws", "aws")
DEBIAN = Platform("debian", "13", "trixie", "6.12.0-9-cloud-amd64", "cloud-amd64")
MODULES = "linux-modules-nvidia-580-server-open-6.14.0-1012-aws"

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


@pytest.mark.parametrize("platform", [UBUNTU, DEBIAN], ids=lambda each: str(each.distribution))
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
    later = wanted_packages(settings, Platform("ubuntu", "2404", "noble", "6.14.0-1015-aws", "aws"))
    state = AptState(installed={name: version or "1" for name, version in wanted.install.items()})
    for each in (wanted, later):
        change = difference(each, state)
        assert change.install == ()
        assert MODULES not in change.hold


APT_GET = """\
#!/bin/sh
# Plays an archive: what it cannot install is in the file beside it; notes what it was asked to install.
case " $* " in
*" --simulate "*)
    for word; do
        if grep -qxF -- "$word" "${0%/*}/impossible"; then
            echo " $word : Depends: nvidia-kernel-common-580-server (<= 580.82.07-1) but 580.95.05-0 is to be installed"
            echo "E: Unable to correct problems, you have held broken packages."
            exit 100
        fi
    done
    ;;
*" install "*) for word; do case $word in -* | install) ;; *) echo "$word" ;; esac; done >>"${0%/*}/installed" ;;
esac
"""


def change(tmp_path: Path, *impossible: str) -> tuple[list[str], str]:
    """What packages_change.sh has apt install, and what it says."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "apt-get").write_text(APT_GET)
    (tools / "apt-get").chmod(0o755)
    (tools / "impossible").write_text("".join(f"{name}\n" for name in impossible))
    command = with_apt(packages.__file__, "packages_change.sh", "", "", "meta utils=1", "", "modules")
    command = command.replace("/var/lib/voice/made", str(tmp_path / "made"))
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": f"{tools}:/usr/bin:/bin", "TMPDIR": str(tmp_path)},
    )
    return [line for line in (tools / "installed").read_text().split() if "::" not in line], done.stdout


def test_what_is_wanted_where_possible_is_installed_with_the_rest(tmp_path: Path) -> None:
    installed, _ = change(tmp_path)
    assert installed == ["meta", "utils=1", "modules"]


def test_what_apt_cannot_install_beside_the_rest_is_left_out_and_told(tmp_path: Path) -> None:
    """An older kernel's modules fit an older driver: the reboot into the newest kernel remains."""
    installed, said = change(tmp_path, "modules")
    assert installed == ["meta", "utils=1"]
    assert "goes without modules:  modules : Depends: nvidia-kernel-common-580-server (<= 580.82.07-1)" in said
