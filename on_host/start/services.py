"""Bringing services up: Compose recreates what differs, Caddy reloads its file, health is awaited. Runs on the host."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from on_host import docker
from on_host.paths import HOME
from on_host.redaction import redact
from on_host.start import compare, reach, releases
from on_host.start.causes import likely_cause
from on_host.start.compare import Started, Wanted
from on_host.start.waiting import NotHealthyError, await_health, failure, say

NOT_REACHABLE = "is not reachable"
REACHES_NOT = "does not reach"


def plan() -> dict[str, Any]:
    """start.json."""
    return dict(json.loads((HOME / releases.PLAN).read_text(encoding="utf-8")))


def wanted() -> dict[str, Wanted]:
    """What the files say, for every service."""
    return compare.wanted(compare.definitions(), plan()["reloads"])


def bring_up() -> Iterator[str]:
    """Bring up what differs, group by group; yields each service that was brought up, once it is healthy.

    Raises:
        NotHealthyError: the first service that did not become so.
        subprocess.CalledProcessError: Docker does not do what it shall.
    """
    remove_left_over(wanted())
    made = plan()
    for group in made["groups"]:
        yield from start(group, made, wanted())


def remove_left_over(asked: Mapping[str, Wanted]) -> None:
    """Stop and remove what is no longer part of the stack, before others need its memory."""
    for service, container in docker.containers().items():
        if service not in asked:
            say(f"{service}: {compare.NOT_OURS}, removed")
            docker.run("stop", container["Id"])
            docker.run("rm", container["Id"])


def start(services: list[str], made: Mapping[str, Any], asked: Mapping[str, Wanted]) -> Iterator[str]:
    """Bring one group up and wait until every service in it is healthy.

    `asked` was read before anything was compared: what changes on the disk meanwhile is the next run's difference.
    """
    pending = differences(asked, made, services)
    changed = [service for service in services if service in pending]
    for service in services:
        say(f"{service}: {pending.get(service, 'healthy, not touched')}")
    for service in changed:
        now = asked[service]
        bring_up_one(service, pending[service], made["reloads"].get(service))
        # Before it is healthy: if this run ends early, the next one must not recreate what is warming up.
        container = docker.containers()[service]["Id"]
        compare.record(service, Started(now.configuration, container, now.weights, now.reloaded))
    for service in changed:
        prove(service, reaches_not(service, made))
        await_health(service, made["timeouts"][service])
        prove(service, not_reachable(service, made))
        yield service


def differences(asked: Mapping[str, Wanted], made: Mapping[str, Any], services: Iterable[str]) -> dict[str, str]:
    """As compare.differences; what is well by that of `services` is tried where it is used."""
    found = compare.differences(asked)
    for service in services:
        if service not in found and (why := not_reachable(service, made) or reaches_not(service, made, found)):
            found[service] = why
    return found


def not_reachable(service: str, made: Mapping[str, Any]) -> str:
    """Why those who use the service at the host's ports do not reach it, or ""; an old release's plan names none."""
    for url in made.get("reached", {}).get(service, []):
        if problem := reach.problem(url):
            return f"{NOT_REACHABLE} at {urlsplit(url).netloc} ({problem})"
    return ""


def reaches_not(service: str, made: Mapping[str, Any], unwell: Collection[str] = ()) -> str:
    """Why the service's container does not reach another one that it waits for, or ""; one that is `unwell` may be."""
    for other, url in made.get("reaches", {}).get(service, {}).items():
        if other not in unwell and (problem := reach.problem_from(docker.containers()[service]["Id"], url)):
            return f"{REACHES_NOT} {urlsplit(url).netloc} ({problem})"
    return ""


def prove(service: str, problem: str) -> None:
    """Go on only without a problem.

    Raises:
        NotHealthyError: there is one.
    """
    if problem:
        raise NotHealthyError(service, failure(service, docker.containers()[service], problem))


def bring_up_one(service: str, reason: str, reloads: Mapping[str, Any] | None) -> None:
    """Have Compose start or recreate one service, and one that still is the same process reload its file.

    Raises:
        NotHealthyError: Compose cannot, or the service refuses its new file.
    """
    before = process_of(service)
    if reason != compare.RELOADS:
        status, said = docker.compose_up(partial(say, error=True), *recreation(reason), service)
        if status:
            # No container's log has it: a hook that failed, a device that is not there, a full disk.
            cause = likely_cause(said) or "not one of the known ones; read what it says above"
            failed = f"{service}: docker compose up failed (exit {status}); likely cause: {cause}"
            raise NotHealthyError(service, failed)
    if reloads and process_of(service) == before:
        reload(service, reloads)


def recreation(reason: str) -> list[str]:
    """What `docker compose up` must be told besides the service.

    Compose does not see that weights were replaced, and the container would keep the directory that it mounted; nor
    that a hand's edit was mended; nor that a container has lost its network or cannot be reached. For every other
    reason Compose knows what to do; above all it leaves alone what is still warming up.
    """
    unseen = (compare.WEIGHTS_REPLACED, compare.FILES_CHANGED, compare.NEVER_STARTED, compare.NO_NETWORK)
    return ["--force-recreate"] if reason.startswith((*unseen, NOT_REACHABLE, REACHES_NOT)) else []


def process_of(service: str) -> tuple[str, str]:
    """The container and when it was started: another pair has read its files anew."""
    container = docker.containers().get(service)
    return (container["Id"], container["State"]["StartedAt"]) if container else ("", "")


def reload(service: str, how: Mapping[str, Any]) -> None:
    """Have a running service read its file again, and ask its own health check at once: Docker asks later.

    `how` is its entry in start.json.

    Raises:
        NotHealthyError: it refuses the file and goes on with the one before, or is not healthy with the new one.
    """
    container = docker.containers()[service]
    check = container["Config"]["Healthcheck"]["Test"][1:]
    ask(service, container["Id"], how["command"], "refuses its new file")
    ask(service, container["Id"], check, "is not healthy with its new file")
    say(f"{service}: reloaded")


def ask(service: str, container: str, words: list[str], otherwise: str) -> None:
    """Run a command in a service's container.

    Raises:
        NotHealthyError: it fails; `otherwise` says what that means.
    """
    done = subprocess.run(
        ["docker", "exec", container, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        lines = "\n".join(f"  | {line}" for line in redact(done.stdout).splitlines()[-10:])
        raise NotHealthyError(service, f"{service} {otherwise}; {' '.join(words[:2])} says:\n{lines}")
