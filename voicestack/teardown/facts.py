"""What a host has of what the deploys make, as state.sh prints it: one round trip, read only, judged in plan.py."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

from pyinfra.api.facts import FactBase

from voicestack.host.ledger import LEDGER
from voicestack.host.packages import APT
from voicestack.paths import HOME, STATE
from voicestack.remote import script_file
from voicestack.teardown.made import KEPT_ASIDE, MADE

ROOTS = (HOME, STATE)
"""Searched whole: what is in them and not on the list is a stranger's."""


@dataclass(frozen=True)
class Container:
    """A container; `project`, `place` and `service` are Compose's labels, "" without."""

    id: str
    name: str
    project: str
    place: str
    service: str
    image_id: str
    image: str


@dataclass(frozen=True)
class Image:
    """A name of an image ("<none>:<none>": it has none), its id and its size for people."""

    id: str
    name: str
    size: str


@dataclass(frozen=True)
class Weights:
    """An entry of the weights' directory or its .replaced: whether the fetcher made it, and its bytes."""

    name: str
    ours: bool
    held: int


@dataclass(frozen=True)
class OnHost:
    """Everything state.sh read.

    Attributes:
        paths: in ROOTS all there is, elsewhere what of the list is there; a `/` at the end: a tree.
        ledger: kind -> names (voicestack/host/ledger.py).
        aside: directories in KEPT_ASIDE.
        rivals: apt sources of others that a deploy moved aside; rivals_again: those that somebody made anew since.
        directories: of the weights, Docker and containerd -> whether something is mounted there.
        docker: "absent", "silent", "answers"; "" if the host did not answer.
        shims: whether containers run although there is no Docker.
        pulled: image in the ledger -> its id, of those at hand.
        released: ids of images that releases name.
        volumes, networks: name -> its Compose project.
        packages: of the ledger, those that are here.
        purge: of these, those that nobody else needs; needed: the others -> who needs them.
        apt_fault: why apt could not say what purging would take.
    """

    paths: tuple[str, ...] = ()
    ledger: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    aside: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ()
    rivals_again: tuple[str, ...] = ()
    driver_loaded: bool = False
    daemon_json: str | None = None
    daemon_json_before: str | None = None
    directories: Mapping[str, bool] = field(default_factory=dict)
    weights: tuple[Weights, ...] = ()
    docker: str = ""
    shims: bool = False
    containers: tuple[Container, ...] = ()
    images: tuple[Image, ...] = ()
    pulled: Mapping[str, str] = field(default_factory=dict)
    released: frozenset[str] = frozenset()
    volumes: Mapping[str, str] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)
    swarm: str = ""
    docker_root: str = ""
    namespaces: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    holds: frozenset[str] = frozenset()
    purge: tuple[str, ...] = ()
    needed: Mapping[str, str] = field(default_factory=dict)
    apt_fault: str = ""


class Made(FactBase[OnHost]):
    """Everything state.sh reads, in one ssh execution."""

    def command(self, weights: str, try_purge: bool) -> str:
        """The script with its arguments."""
        inside = [each.path for each in MADE if each.path.startswith(tuple(f"{root}/" for root in ROOTS))]
        return script_file(
            __file__,
            "state.sh",
            " ".join(ROOTS),
            " ".join(path for path in inside if path.endswith("/")),
            " ".join(each.path for each in MADE if each.path not in inside),
            weights,
            KEPT_ASIDE,
            LEDGER,
            APT,
            "yes" if try_purge else "",
        )

    def process(self, output: list[str]) -> OnHost:
        """Parse the script's lines."""
        return parse(output)

    def default(self) -> OnHost:  # type: ignore[override]
        """A host that did not answer."""
        return OnHost()


def parse(lines: list[str]) -> OnHost:
    """The lines that state.sh prints, as OnHost."""
    rows: dict[str, list[list[str]]] = {}
    for line in lines:
        key, *values = line.split("\t")
        rows.setdefault(key, []).append(values)

    def first(key: str) -> tuple[str, ...]:
        return tuple(row[0] for row in rows.get(key, []) if row and row[0])

    def one(key: str) -> str:
        return next(iter(first(key)), "")

    def pairs(key: str) -> dict[str, str]:
        # pyinfra strips lines: what is empty at the end is not there.
        return {row[0]: "".join(row[1:2]) for row in rows.get(key, [])}

    def text(key: str) -> str | None:
        return base64.b64decode(one(key)).decode("utf-8", errors="replace") if key in rows else None

    noted = [row for row in rows.get("ledger", []) if len(row) == 2]
    return OnHost(
        paths=tuple(sorted(set(first("path")))),
        ledger={kind: tuple(name for each, name in noted if each == kind) for kind in {row[0] for row in noted}},
        aside=tuple(sorted(first("aside"))),
        rivals=tuple(sorted(first("rival"))),
        rivals_again=tuple(sorted(first("rival_again"))),
        driver_loaded="driver" in rows,
        daemon_json=text("daemon.json"),
        daemon_json_before=text("daemon.json.before-voice"),
        directories={path: bool(mounted) for path, mounted in pairs("directory").items()},
        weights=tuple(Weights(name, whose == "ours", int(held)) for whose, held, name in rows.get("weights", [])),
        docker=one("docker"),
        shims="shims" in rows,
        containers=tuple(Container(row[0], row[1].lstrip("/"), *row[2:]) for row in rows.get("container", [])),
        images=tuple(Image(*row) for row in rows.get("image", [])),
        pulled={name: identity for identity, name in rows.get("pulled", [])},
        released=frozenset(first("released")),
        volumes=pairs("volume"),
        networks=pairs("network"),
        swarm=one("swarm"),
        docker_root=one("docker_root"),
        namespaces=first("namespace"),
        packages=first("package"),
        holds=frozenset(first("hold")),
        purge=first("purge"),
        needed=pairs("needed"),
        apt_fault=one("apt_fault"),
    )
