"""Containers that run something else than this clone says, containers that are not ours. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from voicestack.audit.facts import Container, HostState
from voicestack.audit.findings import Area, Finding
from voicestack.audit.redacted import redact
from voicestack.parts import OF_A_RUN


def containers(compose: bytes, state: HostState) -> list[Finding]:
    """What runs, against compose.yml as this clone makes it, and against the files on the host as start.py sees it."""
    area, wanted = Area("containers"), yaml.safe_load(compose)["services"]
    for who, fault in state.faults.items():
        area.fail(who, redact(fault))
    if state.differences is None and not state.faults:
        area.fail("the stack", "is not on this host")
    for service, reason in (state.differences or {}).items():
        area.fail(service, reason)
    for each in state.containers:
        if each.service in wanted:
            _compare(area, each, wanted[each.service])
        elif each.service:
            area.fail(each.service, "is not a service of this clone's settings")
        elif each.name not in OF_A_RUN:
            ended = f", exit status {each.exit_code}" if each.status == "exited" else ""
            said = f"is not the stack's ({each.image}, {each.status}{ended})"
            area.warn(each.name, said, f"docker rm -f {each.name}, if nobody needs it")
    return area.or_ok(f"{len(wanted)} services", "healthy, and running what this clone says")


def _compare(area: Area, container: Container, service: Mapping[str, Any]) -> None:
    if container.image != service["image"]:
        area.fail(container.service, f"runs the image {container.image}, not {service['image']}")
    for what, live in (("entrypoint", container.entrypoint), ("command", container.command)):
        # The template makes lists of words, with nothing to interpolate; without any they are the image's own.
        asked = service.get(what, live)
        if live != asked:
            diff = tuple(f"- {redact(word)}" for word in live or () if word not in asked)
            diff += tuple(f"+ {redact(word)}" for word in asked if word not in (live or ()))
            said = f"runs with another {what}" if diff else f"runs with its {what} in another order"
            area.fail(container.service, said, diff=diff)
    if container.restarts:
        said = f"ended by itself {container.restarts} times since it was made"
        area.warn(container.service, said, f"docker logs {container.name}")
