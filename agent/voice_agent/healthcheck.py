"""`python -m voice_agent healthcheck`, for the container. Standard library only, to be quick."""

from __future__ import annotations

import json
import os
import sys
from http.client import HTTPConnection, HTTPException

from .settings import DEFAULT_HEALTH_PORT

# Above health.ANSWER_SECONDS, so that the agent has time to name a hanging service.
SECONDS = 4.0


def main() -> int:
    """Print one line and return 0 when the agent is healthy, else 1."""
    port = os.environ.get("AGENT_HEALTH_PORT", "").strip() or DEFAULT_HEALTH_PORT
    try:
        connection = HTTPConnection("127.0.0.1", int(port), timeout=SECONDS)
        connection.request("GET", "/")
        response = connection.getresponse()
        parts = json.loads(response.read())["parts"]
        line = ", ".join(f"{name} {state}" for name, state in parts.items())
    except (OSError, HTTPException, ValueError, LookupError, TypeError, AttributeError) as error:
        sys.stdout.write(f"agent: no answer on port {port} ({type(error).__name__})\n")
        return 1
    sys.stdout.write(f"{line}\n")
    return 0 if response.status == 200 else 1
