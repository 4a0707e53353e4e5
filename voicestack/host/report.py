"""What a host says about itself: one round trip, read only, judged by preflight.py."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pyinfra.api.facts import FactBase

from voicestack.host.platform import Platform
from voicestack.remote import Rows, script_file


@dataclass(frozen=True)
class Disk:
    """Free space where a path lies (or will lie)."""

    path: str
    filesystem: str
    free_kib: int


@dataclass(frozen=True)
class Socket:
    """A listening socket ("tcp", "0.0.0.0:22"): by which program, in which container (64 hex, or "-")."""

    protocol: str
    address: str
    program: str
    container: str

    @property
    def port(self) -> int:
        """The port number."""
        return int(self.address.rpartition(":")[2])

    @property
    def is_on_loopback(self) -> bool:
        """Whether the host alone can reach it."""
        host, _, device = self.address.rpartition(":")[0].strip("[]").partition("%")
        return device == "lo" or host.startswith(("127.", "::ffff:127.")) or host == "::1"


@dataclass(frozen=True)
class HostReport:
    """What a host says about itself; sizes in KiB, times in seconds since 1970.

    `packages` are candidates in the distribution's archive, `images` is where a running Docker keeps its images,
    `installed` and `offered` (newest first, asked for only where one is missing) are versions of what settings pin.
    """

    distribution: str = ""
    release: str = ""
    codename: str = ""
    pretty_name: str = ""
    architecture: str = ""
    kernel: str = ""
    flavour: str = ""
    init: str = ""
    uid: int = -1
    clock: int = 0
    asked_at: int = 0
    memory_kib: int = 0
    gpus: tuple[str, ...] = ()
    gpu_memory_mib: tuple[int, ...] = ()
    disks: tuple[Disk, ...] = ()
    deployed: bool = False
    models: frozenset[str] = frozenset()
    models_are_ours: bool = False
    strangers: tuple[str, ...] = ()
    sockets: tuple[Socket, ...] = ()
    containers: dict[str, str] = field(default_factory=dict)
    missing_tools: tuple[str, ...] = ()
    dpkg_faults: tuple[str, ...] = ()
    archive_faults: tuple[str, ...] = ()
    packages: dict[str, str] = field(default_factory=dict)
    images: str = ""
    installed: dict[str, str] = field(default_factory=dict)
    offered: dict[str, tuple[str, ...]] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)
    public_address: str = ""
    domain_addresses: tuple[str, ...] | None = None
    """Where site_domain leads, as the host sees it; None: that was not asked."""
    own_addresses: tuple[str, ...] = ()

    @property
    def platform(self) -> Platform:
        """What choices of packages depend on."""
        release = self.release.replace(".", "")
        return Platform(self.distribution, release, self.codename, self.kernel, self.flavour)


def parse_report(lines: Iterable[str], *, asked_at: int = 0) -> HostReport:
    """The lines that preflight.sh prints, as a HostReport."""
    rows = Rows(lines)
    distribution, release, codename, pretty = rows.first("os", 4)
    kernel, flavour = rows.first("kernel", 2)
    return HostReport(
        distribution=distribution,
        release=release,
        codename=codename,
        pretty_name=pretty,
        architecture=rows.one("architecture"),
        kernel=kernel,
        flavour=flavour,
        init=rows.one("init"),
        uid=int(rows.one("uid") or -1),
        clock=int(rows.one("now") or 0),
        asked_at=asked_at,
        memory_kib=int(rows.one("memory_kib") or 0),
        gpus=tuple(each.removeprefix("0x") for each in rows.each("gpu")),
        gpu_memory_mib=tuple(int(each) for each in rows.each("gpu_memory_mib") if each.isdecimal()),
        disks=tuple(Disk(path, filesystem, int(free)) for path, filesystem, free in rows.all("disk")),
        deployed=rows.one("deployed") == "yes",
        models=frozenset(rows.each("model")),
        models_are_ours=rows.one("models_are_ours") == "yes",
        strangers=rows.each("stranger"),
        sockets=tuple(Socket(*row) for row in rows.all("socket")),
        containers=rows.pairs("container"),
        missing_tools=rows.each("missing"),
        dpkg_faults=tuple(" ".join(row) for row in rows.all("apt")),
        archive_faults=tuple(" ".join(row) for row in rows.all("archive")),
        packages=rows.pairs("package"),
        images=rows.one("images"),
        installed=rows.pairs("installed"),
        offered={row[0]: tuple(row[1:]) for row in rows.all("offered")},
        urls=rows.pairs("url"),
        public_address=rows.one("public_address").strip("-"),
        domain_addresses=tuple(rows.first("domain", 0)) if "domain" in rows else None,
        own_addresses=tuple(rows.first("addresses", 0)),
    )


ARGUMENTS = (
    *("paths", "ports", "urls", "packages", "metadata"),
    *("models", "domain", "sources", "pinned", "catalog"),
)
"""Of preflight.sh, in its order."""


class Preflight(FactBase[HostReport]):
    """Everything preflight.sh reads, in one ssh execution."""

    default = HostReport

    def command(self, question: Mapping[str, str]) -> str:
        """The script; `question` has an answer for some of ARGUMENTS."""
        self.asked_at = int(time.time())
        return script_file(__file__, "preflight.sh", *(question.get(name, "") for name in ARGUMENTS))

    def process(self, output: list[str]) -> HostReport:
        """Parse the script's lines; the clock is compared with the middle of the round trip."""
        return parse_report(output, asked_at=(self.asked_at + int(time.time())) // 2)
