"""Whether a service answers where it is used. Standard library only, and nothing of its neighbours'.

A health check runs inside its container, and is green as well where the container has no network or the host's port
leads nowhere. So the host asks at the ports that others use, and a container asks by name: there this file comes on
stdin, as `python3 - URL SECONDS`.
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

PATIENCE_S = 8
"""For the first answer; a service that is well takes milliseconds."""

ANSWER_S = 4
"""For one."""

NO_ANSWER = 3
"""The exit status of `python3 - URL SECONDS`: another one says that it could not be asked."""


def problem(url: str, patience_s: float = PATIENCE_S) -> str:
    """Why nothing answers at `url` (http, or tcp: a connection is enough) for so long; "" if something does.

    Any status is an answer: whether the service is well, its health check says.
    """
    end = time.monotonic() + patience_s
    while (why := _try(url)) and time.monotonic() < end:
        time.sleep(0.5)
    return why


def _try(url: str) -> str:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 0
    try:
        if parts.scheme == "tcp":
            socket.create_connection((host, port), ANSWER_S).close()
        else:
            # Not urllib: a proxy in the environment is none for these addresses.
            connection = http.client.HTTPConnection(host, port, timeout=ANSWER_S)
            connection.request("GET", parts.path)
            connection.getresponse().close()
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    return ""


def problem_from(container: str, url: str, patience_s: float = PATIENCE_S) -> str:
    """As `problem`, asked in a container with Python; "" as well where it cannot be asked: it has ended, say."""
    done = subprocess.run(
        ["docker", "exec", "-i", container, "python3", "-", url, str(patience_s)],
        input=Path(__file__).read_text(encoding="utf-8"),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == NO_ANSWER else ""


def main() -> int:
    """Ask at an address for so many seconds and print what is wrong."""
    why = problem(sys.argv[1], float(sys.argv[2]))
    print(why)
    return NO_ANSWER if why else 0


if __name__ == "__main__":
    sys.exit(main())
