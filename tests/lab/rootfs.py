"""The root filesystem a lab host starts from: Debian 13 or 12 with an sshd, and nothing the product installs."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from tests.lab.console import run
from tests.lab.disk import content_hash, make_whole
from tests.lab.places import CACHE

SUITE = "trixie"
_PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "sudo",
    "iproute2",
    "ca-certificates",
    "curl",
    "kmod",
    "procps",
    "udev",
    "e2fsprogs",
)
_BUNDLE = Path("etc/ssl/certs/ca-certificates.crt")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)
_DEFAULT_MIRROR = "http://deb.debian.org/debian"


def mirror() -> str:
    """Debian's archive as this controller reaches it, from its own apt sources."""
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for path in sources:
        text = path.read_text() if path.is_file() else ""
        active = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
        found = re.search(r"https?://\S+/debian(?=/?\s|/?$)", active, re.MULTILINE)
        if found:
            return found.group()
    return _DEFAULT_MIRROR


def ensure(suite: str = SUITE) -> Path:
    """The cached root filesystem; built on first use."""
    bundle = (Path("/") / _BUNDLE).read_bytes()
    key = content_hash([suite, mirror(), *_PACKAGES, bundle, Path(__file__).read_bytes()])
    return make_whole(
        CACHE / "rootfs" / f"{suite}-{key}", partial(_build, suite), what=f"Debian {suite} root filesystem"
    )


def _build(suite: str, root: Path) -> None:
    root.parent.mkdir(parents=True, exist_ok=True)
    run("mmdebstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", suite, root, mirror())
    _trust_what_the_controller_trusts(root)
    for identity in (root / "etc/ssh").glob("ssh_host_*"):
        identity.unlink()
    run("chroot", root, "systemctl", "enable", "systemd-networkd.service", "ssh.service")


def _trust_what_the_controller_trusts(root: Path) -> None:
    """Add the controller's extra authorities (a proxy's, say) the way an administrator would."""
    known = set(_CERTIFICATE.findall((root / _BUNDLE).read_text()))
    wanted = _CERTIFICATE.findall((Path("/") / _BUNDLE).read_text())
    local = root / "usr/local/share/ca-certificates"
    local.mkdir(parents=True, exist_ok=True)
    for number, certificate in enumerate(text for text in wanted if text not in known):
        (local / f"lab-controller-{number}.crt").write_text(certificate)
    run("chroot", root, "update-ca-certificates")
