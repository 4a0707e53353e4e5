"""Small servers that misbehave when told to: POST /lab/VERB?…, and GET /lab/log for what was asked of them."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.lab.daemon import Daemon
from tests.lab.disk import content_hash, files_below

_KEPT = 5000
"""Requests in a log: a lab may be up for weeks."""


class Due:
    """How often each fault is still to happen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: Counter[str] = Counter()

    def set(self, fault: str, times: int) -> None:
        """From now on this often."""
        self._left[fault] = times

    def take(self, fault: str) -> bool:
        """Whether it is to happen now; once less from then on."""
        with self._lock:
            due = self._left[fault] > 0
            self._left[fault] -= due
            return due


class ControlledServer(ThreadingHTTPServer):
    """A server with a log and controls of its own."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128  # the default of 5 would drop connections of a client that opens 16 at once

    def __init__(self, address: tuple[str, int], handler: type[ControlledHandler]) -> None:
        self.log: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        super().__init__(address, handler)

    def control(self, verb: str, query: Mapping[str, str]) -> bool:
        """Do what a POST to /lab/VERB asks for; False if there is no such verb.

        Raises:
            KeyError: a parameter is missing.
            ValueError: a parameter is no number.
        """
        return False

    def in_background(self) -> None:
        """Answer in a thread until shutdown()."""
        # The interval is how long shutdown() takes; unit tests start and end many servers.
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


class ControlledHandler(BaseHTTPRequestHandler):
    """One connection: a subclass answers with `route`, and may add to `entry`, the request's line in the log."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or every small piece of a stream waits 40 ms for an acknowledgement
    server: ControlledServer

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing to standard error: /lab/log says more."""

    def route(self, path: str) -> None:
        """Answer one request for this path, which is as quoted as it came; its query and body are self's."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """Any request: a control, or one for the log and `route`."""
        url = urlsplit(self.path)
        self.query = dict(parse_qsl(url.query))
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.entry: dict[str, Any] = {"time": time.time(), "method": self.command, "path": url.path}
        self.entry |= {"status": 0, "done": False}
        if url.path.startswith("/lab/"):
            self._lab(url.path.removeprefix("/lab/"))
            return
        self.server.log.append(self.entry)
        try:
            self.route(url.path)
            self.entry["done"] = True
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 - http.server's names

    def _lab(self, verb: str) -> None:
        if verb == "log" and self.command == "GET":
            self.send_json([dict(entry) for entry in list(self.server.log)])
        elif self.command == "POST" and self._control(verb):
            self.send_json({})
        else:
            self.send_json({"error": "no such control"}, 404)

    def _control(self, verb: str) -> bool:
        if verb == "reset":
            self.server.log.clear()
        try:
            return self.server.control(verb, self.query)
        except (KeyError, ValueError):  # a number is missing or is none: as good as no such control
            return False

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Status line and headers."""
        self.entry["status"] = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def send_json(self, value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """A JSON answer."""
        self.send_content(status, "application/json", json.dumps(value, ensure_ascii=False).encode(), headers)

    def send_content(self, status: int, kind: str, data: bytes, headers: Mapping[str, str] | None = None) -> None:
        """A complete answer of any content type."""
        self.start(status, {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(data)


def run(server: ControlledServer) -> None:
    """What a server's __main__ does: answer until killed."""
    with server:
        server.serve_forever()


def ensure(name: str, address: str, port: int, *words: str | Path) -> str:
    """Keep `python -m tests.lab.NAME ADDRESS WORDS…` running in the background, and return its URL."""
    # The code's hash is in the command, so that a changed server is started anew.
    here = Path(__file__).parent
    code = [*files_below(here / name), here / "aws.py", Path(__file__)]
    version = content_hash(path.read_bytes() for path in code)
    command = (sys.executable, "-m", f"tests.lab.{name}", address, *words, version)
    return Daemon(name).serve(command, address, port)
