"""What runs on the host, asked of Docker as root. Standard library only.

A command that fails raises subprocess.CalledProcessError, its words on our stderr; without Docker it is an OSError.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

from on_host.paths import HOME

COMPOSE = ("compose", "--project-directory", str(HOME), "-f", str(HOME / "compose.yml"))


def run(*words: str) -> str:
    """Run docker and return its stdout."""
    return subprocess.run(["docker", *words], stdout=subprocess.PIPE, text=True, check=True).stdout


def compose(*words: str) -> str:
    """Run docker compose on the stack's file."""
    return run(*COMPOSE, *words)


def compose_up(tell: Callable[[str], object], *words: str) -> tuple[int, list[str]]:
    """Have docker compose start what `words` name: its exit status, and its lines, which `tell` gets as they come."""
    command = ["docker", *COMPOSE, "up", "-d", "--no-deps", *words]
    said = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            said.append(line.rstrip())
            tell(said[-1])
    return process.returncode, said


def image_id(image: str) -> str:
    """The id of an image, "" when it is not on the host."""
    inspect = ["docker", "image", "inspect", "-f", "{{.Id}}", image]
    return subprocess.run(inspect, capture_output=True, text=True, check=False).stdout.strip()


def containers() -> dict[str, dict[str, Any]]:
    """Service -> `docker inspect` of its container."""
    ids = run("ps", "-aq", "--no-trunc", "--filter", "label=com.docker.compose.project=voice").split()
    inspected = json.loads(run("inspect", *ids)) if ids else []
    return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in inspected}


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
