"""Bring the services up in order, each only when those before it are healthy. Runs on the host as root.

Usage: start.py [--check]. Reads start.json beside it. Standard library only.
--check changes nothing: it prints one JSON object, service -> why it is not as wanted (empty: all is well).
Without it, services that differ are recreated by Compose and awaited; one that does not get healthy ends the run
with its last log lines and the likely cause. Services that are as wanted are not touched.
"""

from __future__ import annotations

import calendar
import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from causes import likely_cause
from redaction import redact

HOME = Path(__file__).resolve().parent.parent
RECORD = HOME / ".running.json"
"""Service -> what its container was started with, see Started. Compose's own label would do for the configuration, but
`docker compose config --hash` (2.26) does not compute what it compares."""

PROVENANCE = ".provenance.json"
"""In each directory of weights; every replacement of the directory writes it anew."""

WEIGHTS_REPLACED = "its weights were replaced"
FILES_CHANGED = "files that it reads changed after it started"

NOT_OURS = "does not run on this host any more"
"""A container of a service that the files do not have: a guard that moved to another host."""

LOG_LINES = 30
RESTARTS_THAT_MEAN_FAILURE = 3
REPORT_EVERY_S = 10


class Wanted(NamedTuple):
    """What a service shall run: hashes of its configuration (environment files included) and of its weights' origin.

    `image` is the id of its image, "" if it is not here. `changed_at` is when a file that it reads below HOME was last
    changed, in seconds since 1970: the label `voice.inputs` tells what was rendered, not what was edited and mended.
    """

    configuration: str
    image: str
    weights: str
    changed_at: float = 0.0


class Started(NamedTuple):
    """What a container was started with, and its id."""

    configuration: str
    container: str
    weights: str


class NotHealthyError(Exception):
    """A service did not become healthy; the message is complete."""


def docker(*words: str, check: bool = True) -> str:
    """Run docker and return its stdout; its stderr goes to ours."""
    return subprocess.run(["docker", *words], stdout=subprocess.PIPE, text=True, check=check).stdout


def compose(*words: str) -> str:
    """Run docker compose on the stack's file."""
    return docker("compose", "--project-directory", str(HOME), "-f", str(HOME / "compose.yml"), *words)


def wanted() -> dict[str, Wanted]:
    """What the files say, for every service."""
    services = json.loads(compose("config", "--format", "json"))["services"]
    return {
        name: Wanted(digest(service), image_id(service["image"]), weights(service), changed_at(service))
        for name, service in services.items()
    }


def digest(service: dict[str, Any]) -> str:
    """A hash that changes when anything Compose would pass to the container changes."""
    return hashlib.sha256(json.dumps(service, sort_keys=True).encode()).hexdigest()


def weights(service: dict[str, Any]) -> str:
    """A hash that changes when weights that the service mounts are replaced; "" when it mounts none."""
    mounts = service.get("volumes", [])
    files = [Path(mount["source"], PROVENANCE) for mount in mounts if mount["type"] == "bind"]
    origins = b"".join(file.read_bytes() for file in files if file.is_file())
    return hashlib.sha256(origins).hexdigest() if origins else ""


def changed_at(service: dict[str, Any]) -> float:
    """When the newest of the files was changed that the service mounts from below HOME; 0 when it mounts none."""
    places = [Path(mount["source"]) for mount in service.get("volumes", []) if mount["type"] == "bind"]
    files = [file for place in places if HOME in place.parents for file in place.rglob("*") if file.is_file()]
    return max((file.stat().st_mtime for file in files), default=0.0)


def started_at(container: dict[str, Any]) -> float:
    """When a container started, in seconds since 1970; Docker says "2026-11-23T14:00:00.123456789Z"."""
    text = str(container["State"]["StartedAt"]).removesuffix("Z")
    whole, _, fraction = text.partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{fraction or 0}")


def image_id(image: str) -> str:
    """The id of an image, "" when it is not on the host."""
    inspect = ["docker", "image", "inspect", "-f", "{{.Id}}", image]
    return subprocess.run(inspect, capture_output=True, text=True, check=False).stdout.strip()


def recorded() -> dict[str, Started]:
    """What RECORD says; empty when there is none or it cannot be read.

    An entry of two elements, an older run's, counts as none, which reads as a changed configuration: Compose then
    recreates what really changed (with that run's label, which had the weights' revision, every service that mounts
    weights) and leaves the others running, and all are recorded anew.
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


def containers() -> dict[str, dict[str, Any]]:
    """Service -> `docker inspect` of its container."""
    ids = docker("ps", "-aq", "--no-trunc", "--filter", "label=com.docker.compose.project=voice").split()
    inspected = json.loads(docker("inspect", *ids)) if ids else []
    return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in inspected}


def differences(asked: dict[str, Wanted]) -> dict[str, str]:
    """Service -> why its container is not the wanted one; services that are as wanted are left out."""
    present, started = containers(), recorded()
    reasons = {service: difference(present.get(service), started.get(service), asked[service]) for service in asked}
    left_over = {service: NOT_OURS for service in present if service not in asked}
    return {service: reason for service, reason in reasons.items() if reason} | left_over


def difference(container: dict[str, Any] | None, started: Started | None, asked: Wanted) -> str:
    """Why this container is not the wanted one, or ""."""
    if container is None:
        return "has no container"
    # Before all else: Compose must be told to recreate, and that settles the other reasons too.
    if unseen := unseen_by_compose(container, started, asked):
        return unseen
    if started != Started(asked.configuration, container["Id"], asked.weights):
        return "its configuration changed"
    if container["Image"] != asked.image:
        return "its image changed"
    state = container["State"]
    if state["Status"] != "running":
        return f"is {state['Status']}"
    health = state.get("Health", {}).get("Status", "without a health check")
    return "" if health == "healthy" else f"is {health}"


def unseen_by_compose(container: dict[str, Any], started: Started | None, asked: Wanted) -> str:
    """Why this container must be recreated although Compose sees no difference, or ""."""
    if started is not None and started.weights != asked.weights:
        return WEIGHTS_REPLACED
    return FILES_CHANGED if asked.changed_at and asked.changed_at > started_at(container) else ""


def recreation(reason: str) -> list[str]:
    """What `docker compose up` must be told besides the service.

    Compose does not see that weights were replaced, and the container would keep the directory that it mounted; nor
    that a hand's edit was mended. For every other reason Compose knows what to do; above all it leaves alone what is
    still warming up.
    """
    return ["--force-recreate"] if reason in (WEIGHTS_REPLACED, FILES_CHANGED) else []


def remove_left_over(asked: dict[str, Wanted]) -> None:
    """Stop and remove what is no longer part of the stack, before others need its memory."""
    for service, container in containers().items():
        if service not in asked:
            print(f"{service}: {NOT_OURS}, removed", flush=True)
            docker("stop", container["Id"])
            docker("rm", container["Id"])


def start(services: list[str], timeouts: dict[str, int], asked: dict[str, Wanted]) -> None:
    """Bring one group up and wait until every service in it is healthy.

    `asked` was read before anything was compared: what changes on the disk meanwhile is the next run's difference.
    """
    pending = differences(asked)
    changed = [service for service in services if service in pending]
    for service in services:
        print(f"{service}: {pending.get(service, 'healthy, not touched')}", flush=True)
    if not changed:
        return
    for service in changed:
        compose("up", "-d", "--no-deps", *recreation(pending[service]), service)
        # Before it is healthy: if this run ends early, the next one must not recreate what is warming up.
        now = asked[service]
        record(service, Started(now.configuration, containers()[service]["Id"], now.weights))
    for service in changed:
        await_health(service, timeouts[service])


def await_health(service: str, timeout_s: int) -> None:
    """Poll until the service is healthy, saying now and then how far it is.

    Raises:
        NotHealthyError: when it stopped, restarts over and over, or `timeout_s` seconds are over.
    """
    started = reported = time.monotonic()
    restarts_before = containers()[service]["RestartCount"]
    while True:
        container = containers()[service]
        state = container["State"]
        elapsed = time.monotonic() - started
        health = state.get("Health", {}).get("Status", "")
        if state["Status"] == "running" and health == "healthy":
            print(f"{service}: healthy after {elapsed:.0f} s", flush=True)
            return
        restarts = container["RestartCount"] - restarts_before
        if restarts >= RESTARTS_THAT_MEAN_FAILURE:
            raise NotHealthyError(failure(service, container, f"ended {restarts} times"))
        if elapsed > timeout_s:
            raise NotHealthyError(failure(service, container, f"was not healthy after {timeout_s} s"))
        if time.monotonic() - reported >= REPORT_EVERY_S:
            reported = time.monotonic()
            last = log_lines(container["Id"], 1)
            print(f"{service}: {state['Status']}, {elapsed:.0f} of {timeout_s} s: {redact(' '.join(last))}", flush=True)
        time.sleep(1)


def log_lines(container: str, count: int) -> list[str]:
    """The container's last log lines, stdout and stderr."""
    logs = subprocess.run(
        ["docker", "logs", "--tail", str(count), container],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return logs.stdout.splitlines()


def failure(service: str, container: dict[str, Any], what: str) -> str:
    """The whole message about a service that failed: what, last health check, log lines, likely cause.

    It ends in terminals and issues: what identifies the host or opens something is redacted.
    """
    checks = container["State"].get("Health", {}).get("Log") or []
    last_check = checks[-1]["Output"].strip() if checks else "none ran"
    lines = log_lines(container["Id"], LOG_LINES)
    cause = likely_cause([*log_lines(container["Id"], 400), last_check])
    return "\n".join(
        [
            f"{service} {what}.",
            f"last health check: {redact(last_check)}",
            f"last {len(lines)} log lines of {service}:",
            *(f"  | {line}" for line in redact("\n".join(lines)).split("\n")),
            f"likely cause: {cause or 'not one of the known ones; read the log lines above'}",
        ]
    )


def main() -> int:
    """Check or start; 0 when every service is (or became) as wanted."""
    if "--check" in sys.argv[1:]:
        print(json.dumps(differences(wanted())))
        return 0
    plan = json.loads((HOME / "bin" / "start.json").read_text(encoding="utf-8"))
    try:
        remove_left_over(wanted())
        for group in plan["groups"]:
            start(group, plan["timeouts"], wanted())
    except NotHealthyError as error:
        print(error, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"{' '.join(error.cmd[:8])} ... failed with exit status {error.returncode}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
