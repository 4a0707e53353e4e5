"""Fresh lab hosts: the cached root filesystem, made into one machine with its own identity."""

from __future__ import annotations

import uuid
from pathlib import Path

from tests.lab import apt, hardware, machine, network, rootfs, signing, ssh, volume
from tests.lab.console import run
from tests.lab.disk import discard, make_whole
from tests.lab.places import BRIDGE_ADDRESS, HOST_ADDRESSES, NETWORK

_DISTRIBUTION_KEY = Path("usr/share/keyrings/voice-lab-distribution.asc")

_UBUNTU_RELEASE = """\
PRETTY_NAME="Ubuntu 24.04.2 LTS"
NAME="Ubuntu"
VERSION_ID="24.04"
VERSION="24.04.2 LTS (Noble Numbat)"
VERSION_CODENAME=noble
ID=ubuntu
ID_LIKE=debian
HOME_URL="https://www.ubuntu.com/"
SUPPORT_URL="https://help.ubuntu.com/"
BUG_REPORT_URL="https://bugs.launchpad.net/ubuntu/"
PRIVACY_POLICY_URL="https://www.ubuntu.com/legal/terms-and-policies/privacy-policy"
UBUNTU_CODENAME=noble
LOGO=ubuntu-logo
"""

_UBUNTU_LSB_RELEASE = """\
DISTRIB_ID=Ubuntu
DISTRIB_RELEASE=24.04
DISTRIB_CODENAME=noble
DISTRIB_DESCRIPTION="Ubuntu 24.04.2 LTS"
"""

_ABOUT = """\
This machine belongs to a test laboratory. It runs Debian in systemd-nspawn.
Its GPU, the NVIDIA driver and the packages of other vendors are stand-ins made by the lab.
"""

_ABOUT_UBUNTU = """\
It presents itself as Ubuntu 24.04 and is none: /etc/os-release and the package names of Ubuntu's
archive are imitated on Debian 13, so that the code for Ubuntu hosts can be run.
"""


def create(name: str, *, gpu: bool = True) -> None:
    """Make the host's root filesystem, unless it exists."""
    source = rootfs.ensure(_suite(name))

    def build(root: Path) -> None:
        run("cp", "--archive", "--reflink=auto", source, root)
        _give_identity(root, name)
        _connect(root)
        _admit_operator(root, name)
        _add_distribution_extras(root, name)
        _prepare_modules(root)
        hardware.install(root, gpu=gpu, nouveau=name != "ubuntu")
        volume.install(root, name)
        (root / "etc/voice-lab").write_text(_ABOUT + (_ABOUT_UBUNTU if name == "ubuntu" else ""))
        if name == "ubuntu":
            _disguise_as_ubuntu(root)

    make_whole(machine.root_of(name), build, what=f"root filesystem of host {name}")


def _suite(name: str) -> str:
    """The Debian release that the host runs, whatever it presents itself as."""
    return "bookworm" if name == "bookworm" else rootfs.SUITE


def destroy(name: str) -> None:
    """Cut its power and remove its disk."""
    machine.kill(name)
    discard(machine.root_of(name))
    discard(machine.root_of(name).with_suffix(".partial"))


def _give_identity(root: Path, name: str) -> None:
    """What makes two copies of one image two machines."""
    hostname = f"voice-{name}"
    (root / "etc/hostname").write_text(hostname + "\n")
    (root / "etc/hosts").write_text(
        f"127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{HOST_ADDRESSES[name]} {hostname}\n"
    )
    (root / "etc/machine-id").write_text(uuid.uuid4().hex + "\n")
    key = root / "etc/ssh/ssh_host_ed25519_key"
    ssh.make_key(key, comment=f"root@{hostname}")
    ssh.remember_host(name, key.with_suffix(".pub").read_text())


def _connect(root: Path) -> None:
    """A static address behind the bridge, and the controller's name servers."""
    name = root.name.removesuffix(".partial")
    prefix = NETWORK.rpartition("/")[2]
    (root / "etc/systemd/network/10-lab.network").write_text(
        "[Match]\nName=host0\n\n"
        f"[Link]\nMTUBytes={network.uplink_mtu()}\n\n"
        f"[Network]\nAddress={HOST_ADDRESSES[name]}/{prefix}\nGateway={BRIDGE_ADDRESS}\nLinkLocalAddressing=no\n"
    )
    (root / "etc/resolv.conf").write_text(network.resolv_conf())


def _admit_operator(root: Path, name: str) -> None:
    """Let the lab's key in, as the host's own user; Ubuntu's one reaches root through sudo only."""
    user = ssh.USERS[name]
    home = root / "root"
    if user != "root":
        run("chroot", root, "useradd", "--create-home", "--shell", "/bin/bash", user)
        rule = root / "etc/sudoers.d/90-cloud-init-users"
        rule.write_text(f"{user} ALL=(ALL) NOPASSWD:ALL\n")
        rule.chmod(0o440)
        home = root / "home" / user
    keys = home / ".ssh/authorized_keys"
    keys.parent.mkdir(mode=0o700, exist_ok=True)
    keys.write_text(ssh.ensure_client_key())
    keys.chmod(0o600)
    run("chroot", root, "chown", "-R", f"{user}:{user}", f"/{keys.parent.relative_to(root)}")


def _add_distribution_extras(root: Path, name: str) -> None:
    """Packages that a distribution's archive has and Debian's mirror lacks here: headers for this kernel."""
    (root / _DISTRIBUTION_KEY).write_text(signing.public_key())
    suite, components = ("noble", "main restricted") if name == "ubuntu" else (_suite(name), "main")
    archive = "ubuntu" if name == "ubuntu" else "debian-extras"
    (root / "etc/apt/sources.list.d/voice-lab-distribution.sources").write_text(
        f"Types: deb\nURIs: {apt.URL}/{archive}\nSuites: {suite}\nComponents: {components}\n"
        f"Signed-By: /{_DISTRIBUTION_KEY}\n"
    )


def _prepare_modules(root: Path) -> None:
    """The directory that the running kernel's own package would have brought."""
    modules = root / "lib/modules" / run("uname", "-r").strip()
    modules.mkdir(parents=True)
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        (modules / name).touch()
    run("chroot", root, "depmod", modules.name)


def _disguise_as_ubuntu(root: Path) -> None:
    (root / "etc/os-release").unlink()  # a link to /usr/lib/os-release, which belongs to Debian's base-files
    (root / "etc/os-release").write_text(_UBUNTU_RELEASE)
    (root / "etc/lsb-release").write_text(_UBUNTU_LSB_RELEASE)
    # Ubuntu's users find the administrator's programs (modinfo, ss); Debian's do not.
    (root / "etc/environment").write_text(
        'PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games:/usr/local/games:/snap/bin"\n'
    )
    # Debian's mirror has packages of the same names; on Ubuntu they are Ubuntu's.
    (root / "etc/apt/preferences.d/voice-lab-ubuntu").write_text(
        "Package: *\nPin: release o=Ubuntu\nPin-Priority: 510\n"
    )
    (root / "etc/debian_version").write_text("trixie/sid\n")  # so on a real Ubuntu 24.04
    (root / "etc/issue").write_text("Ubuntu 24.04.2 LTS \\n \\l\n\n")
