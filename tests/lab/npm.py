"""The one tarball of npm's that the page to talk from is made with.

It comes once from the real registry, checked against group_data's sha256; a host then builds without one.
"""

from __future__ import annotations

import hashlib
import runpy
import urllib.request
from pathlib import Path

from tests.lab.daemon import Daemon, LabError
from tests.lab.disk import make_whole
from tests.lab.places import CACHE, REPOSITORY

PORT = 8096


def ensure(address: str) -> dict[str, object]:
    """Have the tarball and serve it; returns its URL."""
    pins = runpy.run_path(str(REPOSITORY / "group_data/all.py"))
    url, sha256 = str(pins["talk_client_url"]), pins["talk_client_sha256"]
    name = Path(url).name

    def download(directory: Path) -> None:
        directory.mkdir(parents=True)
        with urllib.request.urlopen(url, timeout=60) as answer:
            content = answer.read()
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            raise LabError(f"{url}: its sha256 is {found}, group_data/all.py says {sha256}")
        (directory / name).write_bytes(content)

    tarball = make_whole(CACHE / "npm" / sha256, download, what=url)
    return {"url": f"{Daemon('npm').serve_files(tarball, address, PORT)}/{name}"}
