"""The body of an answer with a file: which bytes of it, and how they get onto the line."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from typing import BinaryIO

from tests.lab.hub.pace import Pace


def requested(header: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte of `bytes=A-B`, `bytes=A-` or `bytes=-N`; None if the whole file is meant."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        return max(size - int(match[2]), 0), size - 1
    return int(match[1]), min(int(match[2] or size - 1), size - 1)


def send(
    connection: socket.socket, source: BinaryIO, first: int, end: int, *, flip: int | None, pace: Pace
) -> Iterator[int]:
    """Send `source` from `first` to before `end`, with the byte at `flip` damaged; yields what each step sent."""
    position = first
    while position < end:
        sent = _send_piece(connection, source, position, pace.take(end - position), flip)
        if not sent:
            raise EOFError(f"{source.name} is shorter than the library's index says")
        position += sent
        yield sent


def _send_piece(connection: socket.socket, source: BinaryIO, position: int, length: int, flip: int | None) -> int:
    """The kernel copies all but the damaged byte: a benchmark of clients must not measure this server."""
    if position == flip:
        (byte,) = os.pread(source.fileno(), 1, position)
        return connection.send(bytes([byte ^ 1]))
    if flip is not None and position < flip:
        length = min(length, flip - position)
    return os.sendfile(connection.fileno(), source.fileno(), position, length)
