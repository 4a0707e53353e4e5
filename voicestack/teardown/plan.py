"""What goes, what is kept aside, what stays and why: from what is on a host and what the settings say. Pure.

What the deploys did not make is never in a plan: it is a stranger, which is told and left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from voicestack.audit.containers import OF_A_RUN
from voicestack.host.volume import DROP_IN
from voicestack.paths import HOME
from voicestack.teardown.daemon import Daemon, daemon_json
from voicestack.teardown.facts import Container, Image, OnHost
from voicestack.teardown.made import (
    BUILT,
    CONTAINERDS_PLACE,
    DIRECTORIES,
    DOCKERS_PLACE,
    NETWORK,
    PROJECT,
    SERVICES_BACKWARDS,
    VOLUMES,
    Goes,
    made,
)

DOCKERS_OWN_NETWORKS = frozenset(["bridge", "host", "none", "ingress", "docker_gwbridge"])
ENGINES = frozenset(["docker-ce", "docker.io"])
CONTAINERDS = frozenset(["containerd.io", "containerd"])


@dataclass(frozen=True)
class Packages:
    """What of the machine goes; `needed` stays because others need it, `data` are Docker's own directories."""

    unhold: tuple[str, ...] = ()
    purge: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ()
    daemon: Daemon = "stays"
    data: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any((self.unhold, self.purge, self.files, self.rivals, self.daemon != "stays", self.data))


def paths(found: OnHost, goes: Goes) -> tuple[str, ...]:
    """What is there of the list and goes then."""
    return tuple(path for path in found.paths if (each := made(path)) is not None and each.goes == goes)


def empty_directories(found: OnHost) -> tuple[str, ...]:
    """Directories of the deploys with nothing in them."""
    return tuple(path for path in found.paths if path in DIRECTORIES)


def strange_paths(found: OnHost) -> tuple[str, ...]:
    """What lies in the stack's directories and comes from somebody else."""
    return tuple(path for path in found.paths if made(path) is None and path not in DIRECTORIES)


def containers(found: OnHost) -> tuple[Container, ...]:
    """The stack's containers in the order in which they stop; what a run uses for a moment goes first."""
    order = {service: number for number, service in enumerate(SERVICES_BACKWARDS)}
    return tuple(sorted(filter(_is_ours, found.containers), key=lambda each: order.get(each.service, -1)))


def _is_ours(container: Container) -> bool:
    return (container.project, container.place) == (PROJECT, HOME) or container.name in OF_A_RUN


def networks(found: OnHost) -> tuple[str, ...]:
    """The stack's network."""
    return tuple(name for name, project in found.networks.items() if (name, project) == (NETWORK, PROJECT))


def volumes(found: OnHost) -> tuple[str, ...]:
    """The stack's volumes: caches and a lock, nothing that a new start does not make again."""
    return tuple(name for name, project in found.volumes.items() if name in VOLUMES and project == PROJECT)


def images(found: OnHost) -> tuple[str, ...]:
    """Names, or ids without one, of the images that were pulled or built; not those that strangers' containers run."""
    in_use = {each.image_id for each in found.containers if not _is_ours(each)}
    noted = {name: identity for name, identity in found.pulled.items() if identity not in in_use}
    others = (each for each in found.images if each.id not in in_use and each.name not in map(_familiar, noted))
    return (*noted, *(_reference(each) for each in others if _is_our_image(each, found)))


def _is_our_image(image: Image, found: OnHost) -> bool:
    if image.name.endswith(":<none>"):
        return image.id in found.released or image.id in found.pulled.values()
    return BUILT.match(image.name) is not None or image.name in map(_familiar, found.pulled)


def _reference(image: Image) -> str:
    return image.id if image.name.endswith(":<none>") else image.name


def _familiar(name: str) -> str:
    """An image's name as Docker lists it."""
    return name.removeprefix("docker.io/").removeprefix("library/").partition("@")[0]


def needs_docker(found: OnHost, with_packages: bool) -> bool:
    """Whether there is something that Docker alone can tell or remove."""
    has_stack = any(path.startswith(f"{HOME}/") and made(path) is not None for path in found.paths)
    return has_stack or bool(found.ledger.get("image")) or (with_packages and bool(ENGINES & set(found.packages)))


def vain_wait(found: OnHost, weights: str) -> str:
    """What keeps Docker from starting when the volume of the weights' directory has gone to another host; or ""."""
    return DROP_IN if DROP_IN in found.paths and not found.directories.get(weights) else ""


def images_in_use(found: OnHost) -> tuple[str, ...]:
    """Images that the deploys brought and strangers' containers run."""
    in_use = {each.image_id for each in found.containers if not _is_ours(each)}
    return tuple(_reference(each) for each in found.images if each.id in in_use and _is_our_image(each, found))


def images_not_noted(found: OnHost) -> tuple[str, ...]:
    """Images that the stack ran and no deploy noted to have pulled: here before the deploys, or before the ledger."""
    return tuple(
        _reference(each) for each in found.images if not _is_our_image(each, found) and each.id in found.released
    )


def strangers_in_docker(found: OnHost) -> tuple[str, ...]:
    """What others have in this Docker."""
    return (
        *(f"container {each.name} ({each.image})" for each in found.containers if not _is_ours(each)),
        *(f"image {_reference(each)}" for each in found.images if not _is_our_image(each, found)),
        *(f"volume {name}" for name in found.volumes if name not in volumes(found)),
        *(f"network {name}" for name in found.networks if name not in {*networks(found), *DOCKERS_OWN_NETWORKS}),
        *(f"containerd's namespace {name}" for name in found.namespaces if name != "moby"),
        *(["a swarm"] if found.swarm not in ("", "inactive") else []),
    )


def models(found: OnHost) -> tuple[str, ...]:
    """Entries of the weights' directory that the fetcher made."""
    return tuple(each.name for each in found.weights if each.ours)


def obstacle(found: OnHost) -> str:
    """Why packages, Docker's configuration and the repositories must stay, or "": all of them go, or none."""
    if not (found.ledger.get("installed") or found.ledger.get("held")):
        return "no deploy noted here what it installed: that was done by hand, or before deploys noted it"
    strangers = strangers_in_docker(found)
    if strangers:
        return f"others use this Docker: {_few(strangers)}; remove them first, or leave the packages"
    if found.docker == "silent":
        return "Docker does not answer: nobody can tell whether others use it"
    if found.shims:
        return "containers run although Docker is gone; reboot the host, then run this again"
    return found.apt_fault and f"apt: {found.apt_fault}"


def packages(found: OnHost, wanted_daemon: Mapping[str, Any]) -> Packages:
    """What goes with teardown_packages; nothing if there is an obstacle."""
    if obstacle(found):
        return Packages()
    daemon, _ = daemon_json(found, wanted_daemon)
    return Packages(
        unhold=tuple(name for name in found.ledger.get("held", ()) if name in found.holds),
        purge=found.purge,
        needed=tuple(found.needed),
        files=_machines_files(found),
        rivals=found.rivals,
        daemon=daemon,
        data=dockers_data(found) if ENGINES & set(found.purge) else (),
    )


def _machines_files(found: OnHost) -> tuple[str, ...]:
    """The ledger is not among them: it goes last, and not while a package of it stays (packages.sh)."""
    return tuple(path for path in paths(found, "packages") if path.startswith("/etc/"))


def dockers_data(found: OnHost) -> tuple[str, ...]:
    """Docker's own directories, unless they are elsewhere, volumes of their own, or nobody can tell whose they are."""
    if found.docker != "answers" or found.docker_root != DOCKERS_PLACE:
        return ()
    containerds = (CONTAINERDS_PLACE,) if CONTAINERDS & set(found.purge) else ()
    return tuple(path for path in (DOCKERS_PLACE, *containerds) if found.directories.get(path) is False)


def removed_before(found: OnHost) -> tuple[str, ...]:
    """Packages that the deploys removed and that were not theirs."""
    return tuple(name for name in found.ledger.get("removed", ()) if name not in found.ledger.get("installed", ()))


def _few(words: Iterable[str], most: int = 8) -> str:
    listed = list(words)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
