"""The lab's package repositories: what each vendor offers, and the server that hands it out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.lab import signing
from tests.lab.console import say
from tests.lab.daemon import Daemon
from tests.lab.disk import content_hash, files_below, make_whole
from tests.lab.packages import debian, docker, kernel, nvidia, toolkit, ubuntu
from tests.lab.packages.deb import Deb
from tests.lab.places import BRIDGE_ADDRESS, CACHE, STATE
from tests.lab.repository import write_flat, write_suite

_PORT = 8090
URL = f"http://{BRIDGE_ADDRESS}:{_PORT}"

DRIVER = "580.95.05"
NEWER_DRIVER = "580.105.08"
NEXT_BRANCH_DRIVER = "590.44.01"
"""NVIDIA's repository offers every branch at once: a host that pins none gets this one."""

TOOLKITS = ("1.19.0", "1.19.1")

_DOCKERS = (("bookworm", "debian.12~bookworm"), ("trixie", "debian.13~trixie"), ("noble", "ubuntu.24.04~noble"))
_HERE = Path(__file__).parent
_SERVED = STATE / "apt"


def ensure(address: str) -> dict[str, object]:
    """Build what is missing, serve it, and say where and signed by whom."""
    publish(newer=_SERVED.exists() and _SERVED.resolve().name == "newer")
    url = Daemon("apt").serve_files(_SERVED, address, _PORT)
    return {"url": url, "key_fingerprint": signing.fingerprint()}


def publish(*, newer: bool = False) -> None:
    """Serve the repositories; with `newer` as they are after the next driver has come out."""
    tree = _build() / ("newer" if newer else "current")
    if _SERVED.exists() and _SERVED.resolve() == tree.resolve():
        return
    STATE.mkdir(parents=True, exist_ok=True)
    link = _SERVED.with_suffix(".new")
    link.unlink(missing_ok=True)
    link.symlink_to(tree)
    link.replace(_SERVED)
    say(f"apt repositories: driver {NEWER_DRIVER if newer else DRIVER} is the newest of its branch")


def add_newest_docker() -> str:
    """Serve Docker's newest set in a repository of its own; its address."""
    tree = _build()

    def build(root: Path) -> None:
        store = root / "store"
        store.mkdir(parents=True)
        _write_docker(root, store, docker.newest)

    made = make_whole(tree / "docker-newest", build, what="the newest Docker's repository")
    link = tree / "current" / made.name
    if not link.exists():
        link.symlink_to(made)
    return f"{URL}/{made.name}"


def _build() -> Path:
    """Both states of the repositories, cached by everything that goes into them."""
    sources = files_below(_HERE / "packages", _HERE / "nvidia")
    inputs = [path.read_bytes() for path in (*sources, Path(__file__), _HERE / "repository.py")]
    inputs.append(repr(docker.PINNED).encode())
    key = content_hash([kernel.RELEASE, signing.fingerprint(), debian.unpacked().name, *inputs])

    def build(root: Path) -> None:
        (root / "store").mkdir(parents=True)
        _write_repositories(root / "current", root / "store", newer=False)
        _write_repositories(root / "newer", root / "store", newer=True)

    return make_whole(CACHE / "apt" / key, build, what="apt repositories")


def _write_repositories(root: Path, store: Path, *, newer: bool) -> None:
    drivers = (DRIVER, NEWER_DRIVER) if newer else (DRIVER,)
    _write_docker(root / "docker", store, docker.vendor)
    for distribution, revision in (("debian12", "1"), ("debian13", "1"), ("ubuntu2404", "0ubuntu1")):
        cuda = root / "cuda" / distribution / "x86_64"
        offered = [deb for version in (*drivers, NEXT_BRANCH_DRIVER) for deb in nvidia.repository(version, revision)]
        write_flat(cuda, store, "NVIDIA", [*offered, nvidia.pinning("580"), nvidia.pinning("590")])
        (cuda / "key.pub").write_text(signing.public_key())
    toolkits = [deb for version in TOOLKITS for deb in toolkit.packages(version)]
    origin = "https://nvidia.github.io/libnvidia-container"
    write_flat(root / "libnvidia-container/stable/deb/amd64", store, origin, toolkits)
    for suite in ("trixie", "bookworm"):
        write_suite(root / "debian-extras", store, suite, "Debian", {"main": kernel.headers()})
    # Ubuntu's archive keeps no older version beside the newest.
    archive = {"main": [*kernel.headers(), *docker.ubuntu()], "restricted": ubuntu.driver(drivers[-1])}
    write_suite(root / "ubuntu", store, "noble", "Ubuntu", archive)
    (root / "libnvidia-container/gpgkey").write_text(signing.public_key())


def _write_docker(root: Path, store: Path, offered: Callable[[str], list[Deb]]) -> None:
    for suite, revision in _DOCKERS:
        write_suite(root, store, suite, "Docker", {"stable": offered(revision)})
    (root / "gpg").write_text(signing.public_key())
