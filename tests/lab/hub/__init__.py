"""A Hugging Face Hub for the lab: the real API and the real client, small weights, faults on demand.

Two servers on one address, because the real Hub redirects large files to another host: the Hub itself (PORT) and
the "CDN" (CDN_PORT), which must never see a token.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.lab.daemon import Daemon
from tests.lab.hub.models import build
from tests.lab.hub.server import CDN_PORT, GRANTED, NO_SCOPE, PORT, UNGRANTED

__all__ = ["CDN_PORT", "GRANTED", "NO_SCOPE", "PORT", "UNGRANTED", "ensure", "stop"]

ROOT = Path(__file__).parents[3]
_DAEMON = Daemon("hub")


def ensure(address: str) -> dict[str, object]:
    """Serve on `address`, and say what is served.

    Returns:
        `url`, `token` (its account may read the gated model), and `models`: for each repository its `revision` and
        `files` (path -> sha256 and size in bytes).
    """
    library = build()
    command = [sys.executable, "-m", "tests.lab.hub", address, str(library.root)]
    _DAEMON.start(command, environment={"PYTHONPATH": str(ROOT)})
    for port in (PORT, CDN_PORT):
        _DAEMON.await_port(address, port)
    models = {
        repo.name: {
            "revision": repo.revision,
            "files": {path: {"sha256": file.sha256, "size": file.size} for path, file in repo.files.items()},
        }
        for repo in library.repos.values()
    }
    return {"url": f"http://{address}:{PORT}", "token": GRANTED, "models": models}


def stop() -> None:
    """Stop both servers; what was generated stays in the cache."""
    _DAEMON.stop()
