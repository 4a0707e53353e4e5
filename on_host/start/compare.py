"""What every service shall run, what it runs, and the difference. Runs on the host as root; standard library only."""

from __future__ import annotations

import calendar
import hashlib
import json
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from on_host import docker
from on_host.paths import HOME

RECORD = HOME / ".running.json"
"""Service -> what its container was started with, see Started. Compose's own label would do for the configuration, but
`docker compose config --hash` (2.26) does not compute what it compares."""

PROVENANCE = ".provenance.json"
"""In each directory of weights; every replacement of the directory writes it anew."""

WEIGHTS_REPLACED = "its weights were replaced"
FILES_CHANGED = "files that it reads changed after it started"
RELOADS = "its file changed, which it reloads"
NEVER_STARTED = "was never started"
NO_NETWORK = "has no network"

NOT_OURS = "does not run on this host any more"
"""A container of a service that the files do not have: a guard that moved to another host."""


class Wanted(NamedTuple):
    """What a service shall run: hashes of its configuration (environment files included) and of its weights' origin.

    `image` is the id of its image, "" if it is not here; `reloaded` a hash of the files that it reads without a
    restart, "" if there are none. `changed_at` is when another file that it reads below HOME was last changed, in
    seconds since 1970: the label `voice.inputs` tells what was rendered, not what was edited by hand and mended.
    `networked`: it has a network of its own, not the host's.
    """

    configuration: str
    image: str
    weights: str
    reloaded: str
    changed_at: float = 0.0
    networked: bool = False


class Started(NamedTuple):
    """What a container was started with (and reloaded since), and its id."""

    configuration: str
    container: str
    weights: str
    reloaded: str


def definitions() -> dict[str, Any]:
    """The services as Compose reads them."""
    return dict(json.loads(docker.compose("config", "--format", "json"))["services"])


def wanted(services: Mapping[str, Any], reloads: Mapping[str, Any]) -> dict[str, Wanted]:
    """What the files say, for every service; `reloads` as in start.json."""
    return {name: _wanted(service, reloads.get(name, {}).get("files", [])) for name, service in services.items()}


def _wanted(service: dict[str, Any], reloaded: Sequence[str]) -> Wanted:
    files = [HOME / file for file in reloaded]
    return Wanted(
        digest(service),
        docker.image_id(service["image"]),
        weights(service),
        version(files),
        changed_at(service, files),
        bool(service.get("networks")),
    )


def digest(service: dict[str, Any]) -> str:
    """A hash that changes when anything Compose would pass to the container changes."""
    return hashlib.sha256(json.dumps(service, sort_keys=True).encode()).hexdigest()


def weights(service: dict[str, Any]) -> str:
    """A hash that changes when weights that the service mounts are replaced; "" when it mounts none."""
    return _hash(file.read_bytes() for place in _mounted(service) if (file := place / PROVENANCE).is_file())


def version(files: Sequence[Path]) -> str:
    """A hash of what the files say and of when they were changed, "" when there are none.

    The time, because a file that was edited by hand and is as rendered again must be read again.
    """
    return _hash(f"{file.stat().st_mtime_ns} ".encode() + file.read_bytes() for file in files if file.is_file())


def _hash(contents: Iterable[bytes]) -> str:
    read = b"".join(contents)
    return hashlib.sha256(read).hexdigest() if read else ""


def _mounted(service: dict[str, Any]) -> list[Path]:
    return [Path(mount["source"]) for mount in service.get("volumes", []) if mount["type"] == "bind"]


def changed_at(service: dict[str, Any], without: Collection[Path]) -> float:
    """When the newest of the files was changed that the service mounts from below HOME; 0 when it mounts none."""
    places = [place for place in _mounted(service) if HOME in place.parents]
    files = [file for place in places for file in place.rglob("*") if file.is_file()]
    return max((file.stat().st_mtime for file in files if file not in without), default=0.0)


def loaded(files: Iterable[str]) -> set[str]:
    """Those of the files (below HOME) that a container has read as they are now: it mounts them and started since."""
    present = docker.containers().values()
    mounts = [(Path(mount["Source"]), started_at(each)) for each in present for mount in each["Mounts"]]
    return {
        file
        for file in files
        for source, started in mounts
        if source in (HOME / file).parents and (HOME / file).is_file() and started >= int((HOME / file).stat().st_ctime)
    }


def started_at(container: dict[str, Any]) -> float:
    """When a container started, in seconds since 1970; Docker says "2026-11-23T14:00:00.123456789Z"."""
    text = str(container["State"]["StartedAt"]).removesuffix("Z")
    whole, _, fraction = text.partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{fraction or 0}")


def recorded() -> dict[str, Started]:
    """What RECORD says; empty when there is none or it cannot be read.

    An entry with fewer elements, an older run's, counts as none, which reads as a changed configuration: Compose then
    recreates what really changed and leaves the others running, and all are recorded anew.
    """
    try:
        entries = json.loads(RECORD.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {service: Started(*entry) for service, entry in entries.items() if len(entry) == len(Started._fields)}


def record(service: str, started: Started) -> None:
    """Note what a service was started with."""
    beside = RECORD.with_suffix(".new")
    beside.write_text(json.dumps({**recorded(), service: started}), encoding="utf-8")
    beside.replace(RECORD)


def differences(asked: Mapping[str, Wanted]) -> dict[str, str]:
    """Service -> why its container is not the wanted one; services that are as wanted are left out."""
    present, started = docker.containers(), recorded()
    reasons = {service: difference(present.get(service), started.get(service), asked[service]) for service in asked}
    left_over = {service: NOT_OURS for service in present if service not in asked}
    return {service: reason for service, reason in reasons.items() if reason} | left_over


def difference(container: dict[str, Any] | None, started: Started | None, asked: Wanted) -> str:
    """Why this container is not the wanted one, or ""."""
    if container is None:
        return "has no container"
    running = Started(asked.configuration, container["Id"], asked.weights, asked.reloaded)
    reasons = {
        # These before all else: Compose must be told to recreate, and that settles the other reasons too. What could
        # not be started once (a port that was taken at that moment) Docker starts without a network the next time.
        NEVER_STARTED: container["State"]["Status"] == "created",
        NO_NETWORK: asked.networked and not has_network(container),
        WEIGHTS_REPLACED: started is not None and started.weights != asked.weights,
        FILES_CHANGED: asked.changed_at and asked.changed_at > started_at(container),
        "its configuration changed": started is None or started._replace(reloaded=asked.reloaded) != running,
        "its image changed": container["Image"] != asked.image,
    }
    found = next((reason for reason, holds in reasons.items() if holds), "") or ailment(container["State"])
    return found or (RELOADS if started is not None and started.reloaded != asked.reloaded else "")


def has_network(container: dict[str, Any]) -> bool:
    """Whether a container is to have a network and, while it runs, is connected to it."""
    networks = container["NetworkSettings"]["Networks"]
    return bool(networks) and (
        container["State"]["Status"] != "running" or any(each["EndpointID"] for each in networks.values())
    )


def ailment(state: dict[str, Any]) -> str:
    """Why a container in this state is not well, or ""."""
    if state["Status"] != "running":
        return f"is {state['Status']}"
    health = state.get("Health", {}).get("Status", "without a health check")
    return "" if health == "healthy" else f"is {health}"
