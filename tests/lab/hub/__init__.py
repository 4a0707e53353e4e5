"""A Hugging Face Hub for the lab: the real API and the real client, small weights, faults on demand.

Two servers on one address, because the real Hub redirects large files to another host: the Hub itself (PORT) and
the "CDN" (CDN_PORT), which must never see a token.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.lab.daemon import Daemon
from tests.lab.disk import content_hash, files_below
from tests.lab.hub.hub import GRANTED, NO_SCOPE, UNGRANTED
from tests.lab.hub.models import Repo, build
from tests.lab.hub.server import CDN_PORT, PORT

__all__ = ["CDN_PORT", "GRANTED", "NO_SCOPE", "PORT", "UNGRANTED", "ensure"]


def ensure(address: str) -> dict[str, object]:
    """Serve on `address`, and say what is served.

    Returns:
        `url`, `token` (its account may read the gated model), and `models`: for each repository the pinned
        `revision` and its `files` (path -> sha256 and size in bytes), and the files of all `commits` by revision,
        the newest last.
    """
    library = build()
    # The code's hash is in the command, so that a changed server is started anew.
    version = content_hash(path.read_bytes() for path in files_below(Path(__file__).parent))
    words = (sys.executable, "-m", "tests.lab.hub", address, library.root, version)
    url = Daemon("hub").serve(words, address, PORT)
    models = {
        name: {
            "revision": repo.revision,
            "files": _files(repo),
            "commits": {commit.revision: _files(commit) for commit in library.commits[name]},
        }
        for name, repo in library.repos.items()
    }
    return {"url": url, "token": GRANTED, "models": models}


def _files(repo: Repo) -> dict[str, dict[str, object]]:
    return {path: {"sha256": file.sha256, "size": file.size} for path, file in repo.files.items()}
