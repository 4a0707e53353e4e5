"""What the controller needs to run the lab, and how to get it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.lab.console import step
from tests.lab.daemon import LabError

_PACKAGE_OF = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "docker-registry": "docker-registry",
    "espeak-ng": "espeak-ng",
    "iptables": "iptables",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "gpg": "gnupg",
    "gpgconf": "gnupg",
    "as": "binutils",
    "ld": "binutils",
    "dpkg-deb": "dpkg",
    "apt-get": "apt",
    "systemd-analyze": "systemd",
    "ss": "iproute2",
    "unshare": "util-linux",
    "chroot": "coreutils",
    "mount": "mount",
    "losetup": "mount",
}
_NO_PROGRAM = ("debian-archive-keyring", "ca-certificates", "zstd")
_BROWSER = ("chromium", "chromium-driver", "libnss3-tools")
"""What the page to talk from is tested with; the lab itself comes up without."""
_INSTANCE_CONNECT = ("openssh-server", "curl")
"""What EC2 Instance Connect is tested with (tests/lab/ec2); the lab itself comes up without."""

_ENGINES = ("libtcmalloc-minimal4",)
"""What the real vllm wants on a CPU (tests/engines); the lab itself comes up without."""

_BACKUPS = ("age",)
"""What reads a backup besides this repository; the lab itself comes up without."""


def check() -> None:
    """Raise a LabError that names everything missing, with the command that brings it."""
    if os.geteuid() != 0:
        raise LabError("the lab makes mounts, bridges and containers: run it as root")
    missing = [program for program in _PACKAGE_OF if shutil.which(program) is None]
    if missing:
        packages = sorted({_PACKAGE_OF[program] for program in missing})
        raise LabError(
            f"missing on this machine: {', '.join(missing)}\n"
            f"get them with `python -m tests.lab requirements`, or: apt-get install {' '.join(packages)}"
        )


def install() -> None:
    """Install them with apt, showing its own progress; works on Debian 12 and 13."""
    packages = sorted({*_PACKAGE_OF.values(), *_NO_PROGRAM, *_BROWSER, *_INSTANCE_CONNECT, *_ENGINES, *_BACKUPS})
    had_sshd = shutil.which("sshd") is not None
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step("what the lab needs, from apt"):
        for words in (["update"], ["install", "--yes", "--no-upgrade", "--no-install-recommends", *packages]):
            if subprocess.run(["apt-get", "-q", *words], env=environment, check=False).returncode != 0:
                raise LabError(f"apt-get {' '.join(words)} failed; its output is above")
        # Debian starts services of its own; the lab runs a registry itself, and sshd for single tests.
    _leave_off("docker-registry.service")
    if not had_sshd:
        _leave_off("ssh.service")


def _leave_off(unit: str) -> None:
    """Not now and not after a reboot."""
    if Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", "disable", "--now", unit], check=False)


if __name__ == "__main__":
    # On a new machine, before there is a virtual environment: `python3 -m tests.lab.requirements`.
    install()
