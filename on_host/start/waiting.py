"""Waiting for a service's health, and the whole message about one that fails. Runs on the host as root."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from on_host import docker
from on_host.redaction import redact
from on_host.start.causes import likely_cause

LOG_LINES = 30
RESTARTS_THAT_MEAN_FAILURE = 3
REPORT_EVERY_S = 10
NO_CHECK = ["NONE"]
"""What a Dockerfile's `HEALTHCHECK NONE` makes."""


class NotHealthyError(Exception):
    """A service did not become healthy; the message is complete."""

    def __init__(self, service: str, message: str) -> None:
        super().__init__(message)
        self.service = service


def say(text: str, error: bool = False) -> None:
    """Tell people. If nobody listens any more (ssh broke), the run, and above all a way back, still goes on."""
    try:
        print(text, file=sys.stderr if error else sys.stdout, flush=True)
    except BrokenPipeError:
        # Both: docker, which writes there too, would be ended by the broken pipe.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.dup2(nowhere, sys.stderr.fileno())


def await_health(service: str, timeout_s: int) -> None:
    """Poll until the service is healthy, saying now and then how far it is.

    Raises:
        NotHealthyError: when it stopped, restarts over and over, or `timeout_s` seconds are over; at once when nothing
            asks for its health.
    """
    if docker.containers()[service]["Config"].get("Healthcheck", {}).get("Test", NO_CHECK) == NO_CHECK:
        why = "its image has no HEALTHCHECK, so nothing would ever say that it is well (docs/agent.md)"
        raise NotHealthyError(service, f"{service}: {why}")
    started = reported = time.monotonic()
    restarts_before = docker.containers()[service]["RestartCount"]
    while True:
        container = docker.containers()[service]
        state = container["State"]
        elapsed = time.monotonic() - started
        health = state.get("Health", {}).get("Status", "")
        if state["Status"] == "running" and health == "healthy":
            say(f"{service}: healthy after {elapsed:.0f} s")
            return
        restarts = container["RestartCount"] - restarts_before
        if restarts >= RESTARTS_THAT_MEAN_FAILURE:
            raise NotHealthyError(service, failure(service, container, f"ended {restarts} times in {elapsed:.0f} s"))
        if elapsed > timeout_s:
            raise NotHealthyError(service, failure(service, container, f"was not healthy after {timeout_s} s"))
        if time.monotonic() - reported >= REPORT_EVERY_S:
            reported = time.monotonic()
            last = docker.log_lines(container["Id"], 1)
            say(f"{service}: {state['Status']}, {elapsed:.0f} of {timeout_s} s: {redact(' '.join(last))}")
        time.sleep(1)


def failure(service: str, container: dict[str, Any], what: str) -> str:
    """The whole message about a service that failed: what, last health check, log lines, likely cause.

    It ends in terminals and issues: what identifies the host or opens something is redacted.
    """
    checks = container["State"].get("Health", {}).get("Log") or []
    last_check = checks[-1]["Output"].strip() if checks else "none ran"
    lines = docker.log_lines(container["Id"], LOG_LINES)
    cause = likely_cause([*docker.log_lines(container["Id"], 400), last_check])
    return "\n".join(
        [
            f"{service} {what}.",
            f"last health check: {redact(last_check)}",
            f"last {len(lines)} log lines of {service}:",
            *(f"  | {line}" for line in redact("\n".join(lines)).split("\n")),
            f"likely cause: {cause or 'not one of the known ones; read the log lines above'}",
        ]
    )
