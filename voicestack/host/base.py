"""What every later step needs of a host: a few packages, and the kernel's settings for media traffic."""

from __future__ import annotations

from collections.abc import Generator, Mapping

from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from voicestack.host.nvidia import UVM_SERVICE
from voicestack.host.packages import Apt, PackageSet, difference, packages
from voicestack.host.platform import Platform, repositories
from voicestack.remote import File, place, script
from voicestack.settings.model import Settings
from voicestack.settings.ports import listeners

BASE_PACKAGES = ("ca-certificates", "curl", "gpg", "iproute2", "kmod", "python3", "python3-venv")
SYSCTL = "/etc/sysctl.d/60-voice.conf"


def install(settings: Settings, platform: Platform) -> None:
    """Base packages, the vendors' repositories, kernel settings."""
    vendors = repositories(settings, platform)
    packages(
        name="Install base packages",
        wanted=PackageSet(install=dict.fromkeys(BASE_PACKAGES, ""), own_urls=tuple(each.url for each in vendors)),
    )
    packages(
        name="Add the vendors' package repositories, their keys checked by fingerprint",
        wanted=PackageSet(repositories=vendors),
    )
    settings_files(
        name="Set kernel parameters for media traffic, and Docker to start after the GPU",
        files=wanted_files(settings),
    )


DOCKER_AFTER_GPU = f"""\
# At boot Docker starts the engines' containers once; without the driver that fails and is not tried again.
[Unit]
Wants=nvidia-persistenced.service {UVM_SERVICE}
After=nvidia-persistenced.service {UVM_SERVICE}
"""


def wanted_files(settings: Settings) -> dict[str, str]:
    """Path -> text of what the kernel and systemd read."""
    return {
        SYSCTL: kernel_parameters(settings),
        "/etc/systemd/system/docker.service.d/10-voice-gpu.conf": DOCKER_AFTER_GPU,
    }


def kernel_parameters(settings: Settings) -> str:
    """sysctl.d text: LiveKit's receive buffer, and its UDP ports kept from being handed out to other programs."""
    reserved = [f"{each.first}-{each.last}" for each in listeners(settings) if each.is_range]
    return (
        "# Managed by the voice stack's deploys.\n"
        "# LiveKit warns below 5,000,000 bytes. The dash: a container's kernel does not offer the parameter.\n"
        "-net.core.rmem_max = 5000000\n"
        f"net.ipv4.ip_local_reserved_ports = {','.join(reserved)}\n"
    )


@operation()
def settings_files(files: Mapping[str, str]) -> Generator[StringCommand, None, None]:
    """The files are as given, and the kernel and systemd have read them."""
    wanted = PackageSet(files=files)
    change = difference(wanted, host.get_fact(Apt, files=" ".join(files)))
    if not any(change):
        host.noop(f"{len(files)} files are as wanted")
        return
    yield place({path: File(files[path].encode()) for path in change.files})
    yield StringCommand(script(f"/usr/lib/systemd/systemd-sysctl {SYSCTL}; systemctl daemon-reload"))
