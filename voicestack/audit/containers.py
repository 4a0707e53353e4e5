"""Containers that run something else than this clone says, containers that are not ours. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from voicestack.audit.facts import Container, HostState
from voicestack.audit.findings import DEPLOY, Finding, or_ok
from voicestack.audit.redacted import redact
from voicestack.audit.wanted import Service
from voicestack.parts import OF_A_RUN


def containers(wanted: Mapping[str, Service], state: HostState) -> list[Finding]:
    """What runs, against compose.yml as this clone makes it, and against the files on the host as start.py sees it."""
    found = [Finding("containers", "fail", who, redact(fault), DEPLOY) for who, fault in state.faults.items()]
    if state.differences is None and not state.faults:
        found.append(Finding("containers", "fail", "the stack", "is not on this host", DEPLOY))
    for service, reason in (state.differences or {}).items():
        found.append(Finding("containers", "fail", service, reason, DEPLOY))
    for container in state.containers:
        found += _ours(container, wanted) if container.service else _strange(container)
    return or_ok(found, "containers", f"{len(wanted)} services", "healthy, and running what this clone says")


def _ours(container: Container, wanted: Mapping[str, Service]) -> list[Finding]:
    service = wanted.get(container.service)
    if service is None:
        return [Finding("containers", "fail", container.service, "is not a service of this clone's settings", DEPLOY)]
    found = []
    if container.image != service.image:
        said = f"runs the image {container.image}, not {service.image}"
        found.append(Finding("containers", "fail", container.service, said, DEPLOY))
    for what, live, asked in (
        ("entrypoint", container.entrypoint, service.entrypoint),
        ("command", container.command, service.command),
    ):
        if asked is not None and live != asked:
            diff = tuple(f"- {redact(word)}" for word in live or () if word not in asked)
            diff += tuple(f"+ {redact(word)}" for word in asked if word not in (live or ()))
            said = f"runs with another {what}" if diff else f"runs with its {what} in another order"
            found.append(Finding("containers", "fail", container.service, said, DEPLOY, diff))
    if container.restarts:
        said = f"ended by itself {container.restarts} times since it was made"
        found.append(Finding("containers", "warn", container.service, said, f"docker logs {container.name}"))
    return found


def _strange(container: Container) -> list[Finding]:
    if container.name in OF_A_RUN:
        return []
    ended = f", exit status {container.exit_code}" if container.status == "exited" else ""
    said = f"is not the stack's ({container.image}, {container.status}{ended})"
    return [Finding("containers", "warn", container.name, said, f"docker rm -f {container.name}, if nobody needs it")]
