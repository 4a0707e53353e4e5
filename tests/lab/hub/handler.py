"""What both hosts have in common: errors, files and ranges of them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from tests.lab.controlled import ControlledHandler, ControlledServer
from tests.lab.hub.faults import Shared
from tests.lab.hub.models import Repo, Stored


class LabServer(ControlledServer):
    """A server that knows the lab's state."""

    def __init__(self, address: tuple[str, int], handler: type[Handler], shared: Shared) -> None:
        super().__init__(address, handler)
        self.shared = shared
        self.log = shared.log

    def control(self, verb: str, query: Mapping[str, str]) -> bool:
        """The verbs of server.py's description."""
        return self.shared.control(verb, query)


class Handler(ControlledHandler):
    """One connection."""

    server: LabServer
    label = ""

    def route(self, path: str) -> None:
        """Answer one request, and say in the log when that has come to an end, whatever it was."""
        self.shared = self.server.shared
        self.entry |= {
            "server": self.label,
            "client": self.client_address[0],
            "range": self.headers.get("Range"),
            "authorization": "Authorization" in self.headers,
            "bytes": 0,
        }
        try:
            self.answer(unquote(path))
        finally:
            self.entry["done"] = True

    def answer(self, path: str) -> None:
        """Answer one request."""
        raise NotImplementedError

    def send_content(self, status: int, kind: str, data: bytes, headers: Mapping[str, str] | None = None) -> None:
        """A small answer of any content type."""
        super().send_content(status, kind, data, headers)
        self.entry["bytes"] = 0 if self.command == "HEAD" else len(data)

    def refuse(self, status: int, code: str, message: str) -> None:
        """An error as the Hub says it: in two headers and in the body."""
        headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
        self.send_json({"error": message}, status, headers)

    def send_file(
        self, repo: Repo, path: str, file: Stored, headers: dict[str, str], *, with_ranges: bool = True
    ) -> None:
        """A file or the range of it that was asked for, with whatever fault is due."""
        asked = _requested(self.headers.get("Range"), file.size) if with_ranges else None
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
            flip = file.size // 2 if self.shared.due.take(f"corrupt {path}") else None
            self._send_body(repo.folder / path, first, length, flip)

    def _send_body(self, file: Path, first: int, length: int, flip: int | None) -> None:
        if length > self.shared.cut_after and self.shared.due.take("cut"):
            length = self.shared.cut_after
            self.close_connection = True
        with file.open("rb") as source:
            while length:
                sent = self._send_piece(source, first, self.shared.pace.take(length), flip)
                if not sent:
                    raise EOFError(f"{file} is shorter than the library's index says")
                first, length = first + sent, length - sent
                self.entry["bytes"] += sent

    def _send_piece(self, source: BinaryIO, position: int, length: int, flip: int | None) -> int:
        """The kernel copies all but the damaged byte: a benchmark of clients must not measure this server."""
        if position == flip:
            (byte,) = os.pread(source.fileno(), 1, position)
            return int(self.connection.send(bytes([byte ^ 1])))
        if flip is not None and position < flip:
            length = min(length, flip - position)
        return os.sendfile(self.connection.fileno(), source.fileno(), position, length)


def _requested(header: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte of `bytes=A-B`, `bytes=A-` or `bytes=-N`; None if the whole file is meant."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        return max(size - int(match[2]), 0), size - 1
    return int(match[1]), min(int(match[2] or size - 1), size - 1)
