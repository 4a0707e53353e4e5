"""The NVIDIA driver: installed, loaded, the same everywhere, and staying that way."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from pyinfra.api.command import FunctionCommand, StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation
from pyinfra.context import host

from voicestack.host.packages import PackageSet, packages
from voicestack.host.platform import (
    Platform,
    driver_packages,
    driver_pinning_packages,
    kernel_packages,
    modules_for_running_kernel,
    toolkit_versions,
)
from voicestack.host.reboot import reboot_and_wait
from voicestack.remote import Rows, refuse, script, script_file
from voicestack.settings.model import Settings

NOUVEAU_BLACKLIST = """\
# nouveau binds the card before the NVIDIA driver can.
blacklist nouveau
options nouveau modeset=0
"""

PERSISTENCE = """\
# Ubuntu's unit says --no-persistence-mode: without it the driver unloads its state whenever no program uses the card.
[Service]
ExecStart=
ExecStart=/usr/bin/nvidia-persistenced --user nvidia-persistenced --persistence-mode
"""

UVM_SERVICE = "voice-nvidia-uvm.service"

UVM_UNIT = """\
[Unit]
Description=nvidia-uvm and its device nodes
# CUDA opens /dev/nvidia-uvm, nvidia-smi does not. The module makes no nodes itself, and udev's rules, where a driver
# package has some, make them at a time of their own: containers, or a CDI specification, made before that lack them.
Before=docker.service nvidia-cdi-refresh.service

[Service]
Type=oneshot
ExecStart=/sbin/modprobe nvidia-uvm
ExecStart=/usr/bin/nvidia-ctk system create-device-nodes --control-devices
"""
"""Docker's drop-in (voicestack/host/base.py) has it started before every start of Docker."""

UNATTENDED_UPGRADES = """\
// An unattended upgrade replaces the driver's libraries under the loaded module: every CUDA program stops working
// until a reboot (Debian bug 889669). A new kernel without its prebuilt module boots without a GPU. Docker's
// upgrade restarts the daemon. The deploy upgrades these on purpose, and reboots when it must.
Unattended-Upgrade::Package-Blacklist {
  "nvidia-"; "libnvidia-"; "libcuda"; "cuda-"; "linux-modules-nvidia-";
  "docker-ce"; "docker.io"; "containerd";%s
};
"""


@dataclass(frozen=True)
class DriverState:
    """Driver versions ("" where there is none), whether the card is in persistence mode, and this boot's id.

    `uvm`: nvidia-uvm's device nodes are there.
    """

    loaded: str = ""
    installed: str = ""
    smi: str = ""
    persistent: bool = False
    uvm: bool = False
    boot: str = ""

    @property
    def agrees(self) -> bool:
        """Loaded module = installed module = what nvidia-smi says."""
        return bool(self.loaded) and self.loaded == self.installed == self.smi

    @property
    def is_ready(self) -> bool:
        """Nothing is left to do for CUDA programs."""
        return self.agrees and self.persistent and self.uvm


class Driver(FactBase[DriverState]):
    """The driver's state, in one ssh execution."""

    default = DriverState

    def command(self) -> str:
        """The script."""
        return script_file(__file__, "nvidia_state.sh")

    def process(self, output: list[str]) -> DriverState:
        """Parse the script's lines."""
        rows = Rows(output)
        return DriverState(
            loaded=rows.one("loaded"),
            installed=rows.one("installed"),
            smi=rows.one("smi"),
            persistent=rows.one("persistence") == "Enabled",
            uvm=rows.one("uvm") == "yes",
            boot=rows.one("boot"),
        )


def install(settings: Settings, platform: Platform) -> None:
    """Driver and container toolkit: packages, holds, module; the host may reboot once."""
    pinning = driver_pinning_packages(settings, platform)
    if pinning:
        # In a transaction of its own: the pin steers only what is installed after it.
        packages(
            name=f"Pin NVIDIA's repository to the {settings.nvidia.branch} branch",
            wanted=PackageSet(install=dict.fromkeys(pinning, "")),
        )
    packages(
        name=f"Install the NVIDIA driver {settings.nvidia.branch} and the container toolkit",
        wanted=wanted_packages(settings, platform),
    )
    activate(name="Load the NVIDIA driver, rebooting only if the loaded module is not the installed one")


def wanted_packages(settings: Settings, platform: Platform) -> PackageSet:
    """Driver and toolkit packages with everything that keeps them from changing by themselves."""
    driver = driver_packages(settings, platform)
    toolkit = toolkit_versions(settings)
    kernel = kernel_packages(settings, platform)
    kernel_patterns = ' "linux-image-"; "linux-headers-"; "linux-aws";' if kernel else ""
    return PackageSet(
        install={**dict.fromkeys(driver, ""), **toolkit},
        where_possible=modules_for_running_kernel(settings, platform),
        files={
            "/etc/modprobe.d/voice-blacklist-nouveau.conf": NOUVEAU_BLACKLIST,
            "/etc/systemd/system/nvidia-persistenced.service.d/10-voice.conf": PERSISTENCE,
            f"/etc/systemd/system/{UVM_SERVICE}": UVM_UNIT,
            "/etc/apt/apt.conf.d/52voice-unattended-upgrades": UNATTENDED_UPGRADES % kernel_patterns,
        },
        hold=(*(name for name in driver if not name.startswith("linux-headers-")), *toolkit),
        hold_if_installed=kernel,
    )


@operation()
def activate() -> Generator[StringCommand | FunctionCommand, None, None]:
    """Make loaded module = installed module = what nvidia-smi says, and have what CUDA needs beside it.

    The host fails if they still differ after loading the module and, if need be, one reboot.
    """
    state = host.get_fact(Driver)
    if state.is_ready:
        host.noop(f"the driver {state.loaded} is loaded and persistent, with nvidia-uvm")
        return
    if not state.loaded:
        # Fails while nouveau holds the card, or when the packages brought a newer kernel: a reboot mends both.
        yield StringCommand(script("modprobe nvidia 2>/dev/null || true"))
        state = host.get_fact(Driver)
    if not state.loaded or state.loaded != state.installed:
        host.log(f"loaded module: {state.loaded or 'none'}, installed: {state.installed or 'none'}: rebooting")
        yield from reboot_and_wait(state.boot)
        yield StringCommand(script("test -e /proc/driver/nvidia/version || modprobe nvidia"))
    # Ubuntu's unit is static (udev and Docker's drop-in start it), NVIDIA's is to be enabled.
    yield StringCommand(
        script(
            "systemctl daemon-reload; systemctl enable --quiet nvidia-persistenced.service 2>/dev/null || true; "
            f"systemctl restart nvidia-persistenced.service; systemctl start {UVM_SERVICE} || true"
        )
    )
    state = host.get_fact(Driver)
    if not state.is_ready:
        mode = "on" if state.persistent else "off"
        nodes = "there" if state.uvm else "missing, so CUDA does not work"
        yield refuse(
            f"the driver is not as it should be: loaded module {state.loaded or 'none'}, installed module "
            f"{state.installed or 'none'}, nvidia-smi says {state.smi or 'nothing'}, persistence mode {mode}, "
            f"/dev/nvidia-uvm {nodes}; see `dmesg | grep -i nvrm` and `journalctl -u {UVM_SERVICE}`"
        )
