"""What goes and what stays, from what is on a host. Pure.

What the deploys did not make is never among what goes: it is a stranger's, which is told and left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from voicestack.host.volume import DROP_IN
from voicestack.parts import BUILT, OF_A_RUN, OF_COMPOSE, PROJECT, Kind, directories, kind
from voicestack.paths import HOME, STATE
from voicestack.remote import Rows
from voicestack.stack.render import SERVICES

KEPT_ASIDE = "/var/backups/voice"
"""On the host, root's alone: what a teardown does not delete although it takes it out of use."""

DOCKERS_OWN = [f"network {name}" for name in ("bridge", "host", "none", "ingress", "docker_gwbridge")]


class HostContainer(NamedTuple):
    """A container; `project`, `place` and `service` are Compose's labels, "" without."""

    project: str
    place: str
    service: str
    image_id: str
    image: str
    id: str
    name: str

    @property
    def is_ours(self) -> bool:
        """Whether the stack's Compose made it, or a run."""
        return (self.project, self.place) == (PROJECT, HOME) or self.name in OF_A_RUN


class HostImage(NamedTuple):
    """A name of an image, which is called by its id if it has none ("<none>:<none>")."""

    id: str
    name: str

    @property
    def reference(self) -> str:
        """What Docker knows it by."""
        return self.id if self.name.endswith(":<none>") else self.name


class Takedown(NamedTuple):
    """What becomes of a host.

    Attributes:
        docker: "absent", "gone" (its data is here), "silent", "answers"; "" if the host did not answer.
        containers: in the order in which they stop.
        of_compose: its networks and volumes.
        secrets: key pairs, certificates, environments.
        directories: the stack's, the deepest first; empty: those that are there with nothing in them.
        models: what the fetcher brought to the weights' directory, with its size; beside: what others did.
        mounted: whether that directory is a volume; if not, `wait` is what keeps Docker from starting, or "".
        aside: what earlier runs moved aside.
        strange: what others have in the stack's directories; strangers: in Docker.
        machine: files that belong to driver, toolkit and Docker.
    """

    docker: str
    containers: tuple[HostContainer, ...]
    of_compose: tuple[str, ...]
    images: tuple[str, ...]
    secrets: tuple[str, ...]
    files: tuple[str, ...]
    directories: tuple[str, ...]
    empty: tuple[str, ...]
    models: Mapping[str, int]
    beside: Mapping[str, int]
    mounted: bool
    wait: str
    aside: tuple[str, ...]
    strange: tuple[str, ...]
    strangers: tuple[str, ...]
    machine: tuple[str, ...]

    @property
    def needs_docker(self) -> bool:
        """Whether a Docker that does not answer may have something that it alone can tell and remove."""
        return self.docker == "silent" and bool(self.secrets or self.files)


def read(lines: Iterable[str], known: Mapping[str, Kind]) -> Takedown:
    """What becomes of the host that state.sh printed `lines` of; `known`: what paths may be (voicestack/parts.py)."""
    rows = Rows(lines)

    def names(key: str) -> tuple[str, ...]:
        return tuple(sorted({row[-1] for row in rows.all(key)}))

    containers = [HostContainer(*row) for row in rows.all("container")]
    theirs = [each for each in containers if not each.is_ours]
    order = {service: number for number, service in enumerate(reversed(SERVICES))}
    in_use = {each.image_id for each in theirs}

    named = {(identity, _as_listed(name)) for identity, name in rows.all("named")}
    nameless = {*names("released"), *(identity for identity, _ in named)}

    def is_the_stacks(image: HostImage) -> bool:
        if image.reference == image.id:
            return image.id in nameless
        return BUILT.fullmatch(image.name) is not None or image in named

    images = [HostImage(*row) for row in rows.all("image")]
    stacks = [each for each in images if is_the_stacks(each)]

    made = [(f"{key} {name}", project) for key in ("network", "volume") for project, name in rows.all(key, 2)]
    of_compose = [name for name, project in made if name in OF_COMPOSE and project == PROJECT]

    paths = {path: kind(path, known) for path in names("path")}
    known_directories = directories(known)
    empty = [path for path in paths if path in known_directories]
    unknown = [path for path, what in paths.items() if what is None and path not in empty]
    inside = [path for path in unknown if path.startswith((f"{HOME}/", f"{STATE}/"))]
    return Takedown(
        docker="".join(names("docker")),
        containers=tuple(sorted(set(containers) - set(theirs), key=lambda each: order.get(each.service, -1))),
        of_compose=tuple(of_compose),
        images=tuple(dict.fromkeys(each.reference for each in stacks if each.id not in in_use)),
        secrets=tuple(path for path, what in paths.items() if what == "secret"),
        files=tuple(path for path, what in paths.items() if what == "plain"),
        directories=known_directories,
        empty=tuple(empty),
        models={name: int(held) for held, whose, name in rows.all("weights") if whose == "ours"},
        beside={name: int(held) for held, whose, name in rows.all("weights") if whose != "ours"},
        mounted="mounted" in rows,
        wait=DROP_IN if DROP_IN in paths and "mounted" not in rows else "",
        aside=names("aside"),
        strange=tuple(inside),
        strangers=(
            *(f"container {each.name} ({each.image})" for each in theirs),
            *(f"image {each.reference}, which a container of others runs" for each in stacks if each.id in in_use),
            *(f"image {each.reference}, which no file of the stack names" for each in images if each not in stacks),
            *(name for name, _ in made if name not in of_compose and name not in DOCKERS_OWN),
        ),
        machine=tuple(path for path in unknown if path not in inside),
    )


def _as_listed(name: str) -> str:
    return name.removeprefix("docker.io/").removeprefix("library/").partition("@")[0]
