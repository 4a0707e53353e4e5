"""A file server for package repositories: `python -m tests.lab.static_server ADDRESS PORT DIRECTORY`."""

from __future__ import annotations

import functools
import io
import sys
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from os import PathLike


class FilesOnly(SimpleHTTPRequestHandler):
    """Serves files and, like a vendor's host, lists no directories."""

    protocol_version = "HTTP/1.1"

    def list_directory(self, path: str | PathLike[str]) -> io.BytesIO | None:
        """Refuse what the base class would have made into an index page of `path`."""
        self.send_error(HTTPStatus.NOT_FOUND)
        return None


def main(address: str, port: str, directory: str) -> None:
    """Serve until killed."""
    handler = functools.partial(FilesOnly, directory=directory)
    ThreadingHTTPServer((address, int(port)), handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
