"""Packages taken from Debian's own archive, to be repacked under other names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.lab.console import run
from tests.lab.disk import content_hash, make_whole
from tests.lab.places import CACHE
from tests.lab.rootfs import SUITE, mirror

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_NAMES = ("docker.io", "docker-cli", "containerd", "runc", "docker-buildx", "docker-compose", "tini")


def unpacked(suite: str = SUITE, names: Sequence[str] = _NAMES) -> Path:
    """A directory with one unpacked tree for each package, by its name."""
    key = content_hash([suite, mirror(), *names])
    fetch = partial(_fetch, suite, names)
    return make_whole(CACHE / "debian" / key, fetch, what=f"Docker's programs from Debian {suite}")


def _fetch(suite: str, names: Sequence[str], directory: Path) -> None:
    """Download with an apt state of our own: the controller's may be another release."""
    for name in ("lists/partial", "cache/archives/partial", "debs"):
        (directory / name).mkdir(parents=True)
    (directory / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {mirror()} {suite} main\n")
    (directory / "status").touch()
    settings = {
        "Dir::State::Lists": directory / "lists",
        "Dir::State::status": directory / "status",
        "Dir::Cache": directory / "cache",
        "Dir::Etc::SourceList": directory / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",
        "APT::Architecture": "amd64",
    }
    options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    run("apt-get", *options, "update")
    run("apt-get", *options, "download", *names, cwd=directory / "debs")
    for deb in (directory / "debs").glob("*.deb"):
        run("dpkg-deb", "--raw-extract", deb, directory / deb.name.partition("_")[0])
    for rest in ("lists", "cache", "debs", "sources.list", "status"):
        run("rm", "-r", directory / rest)


def version(tree: Path) -> str:
    """The upstream version of an unpacked package: no Debian revision, no repacking mark."""
    control = (tree / "DEBIAN/control").read_text()
    full = next(line.split()[1] for line in control.splitlines() if line.startswith("Version:"))
    return full.rpartition("-")[0].partition("+")[0].partition("~")[0]
