"""A file server with the one tarball of npm's that the page to talk from is made with; 404 for anything else.

The tarball comes once from the real registry, checked against group_data's sha256; a host then builds without one.
`python -m tests.lab.npm ADDRESS FILE` is the server.
"""

from __future__ import annotations

import hashlib
import http.server
import runpy
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from tests.lab.daemon import Daemon, LabError
from tests.lab.disk import make_whole
from tests.lab.places import CACHE

PORT = 8096
_DAEMON = Daemon("npm")
_ROOT = Path(__file__).parents[2]
_PINS = runpy.run_path(str(_ROOT / "group_data" / "all.py"))
URL, SHA256 = str(_PINS["talk_client_url"]), str(_PINS["talk_client_sha256"])


def ensure(address: str) -> dict[str, object]:
    """Have the tarball and serve it; returns its URL, whose path is the real registry's."""
    command = [sys.executable, "-m", "tests.lab.npm", address, str(_tarball())]
    _DAEMON.start(command, environment={"PYTHONPATH": str(_ROOT)})
    _DAEMON.await_port(address, PORT)
    return {"url": f"http://{address}:{PORT}{urlsplit(URL).path}"}


def _tarball() -> Path:
    """The file, downloaded on first use."""

    def download(directory: Path) -> None:
        directory.mkdir(parents=True)
        with urllib.request.urlopen(URL, timeout=60) as answer:
            content = answer.read()
        found = hashlib.sha256(content).hexdigest()
        if found != SHA256:
            raise LabError(f"{URL}: its sha256 is {found}, group_data/all.py says {SHA256}")
        (directory / Path(URL).name).write_bytes(content)

    return make_whole(CACHE / "npm" / SHA256, download, what=URL) / Path(URL).name


class Handler(http.server.BaseHTTPRequestHandler):
    """GET and HEAD of one file."""

    protocol_version = "HTTP/1.1"
    file: Path

    def do_GET(self) -> None:
        """The tarball, under the path that the real registry has it under."""
        content = self.file.read_bytes() if self.path == urlsplit(URL).path else None
        self.send_response(200 if content is not None else 404)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        if content is not None and self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET  # noqa: N815 - http.server's name


def main(address: str, file: str) -> None:
    """Serve until terminated."""
    Handler.file = Path(file)
    http.server.ThreadingHTTPServer((address, PORT), Handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
