"""What both hosts have in common: the log, the controls, errors, files and ranges of them."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

from tests.lab.hub import body
from tests.lab.hub.faults import Served, Shared
from tests.lab.hub.models import Repo, Stored


class LabServer(ThreadingHTTPServer):
    """A server that knows the lab's state."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128  # the default of 5 would drop connections of a client that opens 16 at once

    def __init__(self, address: tuple[str, int], handler: type[Handler], shared: Shared) -> None:
        self.shared = shared
        super().__init__(address, handler)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or every small answer waits 40 ms for an acknowledgement
    label = ""

    @property
    def shared(self) -> Shared:
        """The lab's state."""
        return cast(LabServer, self.server).shared

    def do_GET(self) -> None:
        self._dispatch()

    def do_HEAD(self) -> None:
        self._dispatch()

    def do_POST(self) -> None:
        self._dispatch()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing to standard error: /lab/log says more."""

    def route(self, path: str, query: dict[str, str]) -> None:
        """Answer one request."""
        raise NotImplementedError

    def _dispatch(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        query = {key: values[-1] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.served = Served(
            self.label,
            self.command,
            path,
            self.client_address[0],
            range=self.headers.get("Range"),
            authorization="Authorization" in self.headers,
        )
        if path.startswith("/lab/"):
            self._lab(path.removeprefix("/lab/"), query)
            return
        self.shared.note(self.served)
        try:
            self.route(path, query)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            self.served.done = True

    def _lab(self, verb: str, query: dict[str, str]) -> None:
        if verb == "log" and self.command == "GET":
            self.send_json(self.shared.report())
        elif self.command == "POST" and self._control(verb, query):
            self.send_json({})
        else:
            self.refuse(404, "", "no such control")

    def _control(self, verb: str, query: dict[str, str]) -> bool:
        try:
            return self.shared.control(verb, query)
        except (KeyError, ValueError):  # a number is missing or is none: as good as no such control
            return False

    def send_json(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """A JSON answer."""
        self.send_content(status, "application/json", json.dumps(value).encode(), headers)

    def send_content(self, status: int, kind: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        """A small answer of any content type."""
        self.start(status, {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(data)
            self.served.bytes += len(data)

    def refuse(self, status: int, code: str, message: str) -> None:
        """An error as the Hub says it: in two headers and in the body."""
        headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
        self.send_json({"error": message}, status, headers)

    def start(self, status: int, headers: dict[str, str]) -> None:
        """Status line and headers."""
        self.served.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def send_file(
        self, repo: Repo, path: str, file: Stored, headers: dict[str, str], *, with_ranges: bool = True
    ) -> None:
        """A file or the range of it that was asked for, with whatever fault is due."""
        asked = body.requested(self.headers.get("Range"), file.size) if with_ranges else None
        first, last = asked or (0, file.size - 1)
        if asked and first > last:
            self.start(416, {"Content-Range": f"bytes */{file.size}", "Content-Length": "0"})
            return
        length = last - first + 1
        headers = {"Content-Length": str(length), **headers}
        if with_ranges:
            headers["Accept-Ranges"] = "bytes"
        if asked:
            headers["Content-Range"] = f"bytes {first}-{last}/{file.size}"
        self.start(206 if asked else 200, headers)
        if self.command != "HEAD":
            flip = file.size // 2 if self.shared.take_corruption(path) else None
            self._send_body(repo.folder / path, first, length, flip)

    def _send_body(self, file: Path, first: int, length: int, flip: int | None) -> None:
        cut = self.shared.take_cut(length)
        end = first + (length if cut is None else cut)
        with file.open("rb") as source:
            for sent in body.send(self.connection, source, first, end, flip=flip, pace=self.shared.pace):
                self.served.bytes += sent
        if cut is not None:
            self.close_connection = True
