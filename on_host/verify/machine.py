"""The host's containers, seen from the host; standard library only."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

HOME = Path("/opt/voice")
STATE = Path("/var/lib/voice")
ROOT_CERTIFICATE = STATE / "caddy/data/caddy/pki/authorities/local/root.crt"


def docker(*words: str) -> str:
    """The stdout of a docker command, "" when it fails: then the next thing that needs Docker says so."""
    try:
        return subprocess.run(["docker", *words], stdout=subprocess.PIPE, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def containers() -> dict[str, dict[str, Any]]:
    """Service -> `docker inspect` of its container."""
    ids = docker("ps", "-aq", "--no-trunc", "--filter", "label=com.docker.compose.project=voice").split()
    inspected = json.loads(docker("inspect", *ids) or "[]") if ids else []
    return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in inspected}


def states(present: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Service -> "running, healthy", "exited", "paused, healthy"."""
    found = {}
    for service, container in present.items():
        state = container["State"]
        health = state.get("Health", {}).get("Status") if state["Status"] in ("running", "paused") else None
        found[service] = f"{state['Status']}, {health}" if health else state["Status"]
    return found


def agent_image(present: dict[str, dict[str, Any]]) -> str:
    """The id of the image that the agent's container runs, else the one that the stack's files want, else ""."""
    if "voice-agent" in present:
        return str(present["voice-agent"]["Image"])
    compose = HOME / "compose.yml"
    if not compose.exists():
        return ""
    found = re.search(r"^    image: (voice-agent:\S+)$", compose.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else ""


def public_address() -> str:
    """Where callers' media goes, as LiveKit was told; "" if it was told nothing."""
    try:
        text = (HOME / "livekit" / "livekit.yaml").read_text(encoding="utf-8")
    except OSError:
        return ""
    found = re.search(r"^\s+node_ip: (\S+)$", text, re.MULTILINE)
    return found[1] if found else ""
