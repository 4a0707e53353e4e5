"""The framing of application/vnd.amazon.eventstream.

A message is: its length, the length of its headers, a CRC-32 of these eight bytes; the headers; the payload; a CRC-32
of everything before. All numbers are big-endian; all headers here are strings (type 7).
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping

_STRING = 7
_PRELUDE = 12
_CRC = 4


def event(kind: str, payload: Mapping[str, object]) -> bytes:
    """One event of a stream."""
    return _message({":event-type": kind, ":content-type": "application/json", ":message-type": "event"}, payload)


def exception(kind: str, payload: Mapping[str, object]) -> bytes:
    """An exception within a stream, which ends it."""
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return _message(headers, payload)


def _message(headers: Mapping[str, str], payload: Mapping[str, object]) -> bytes:
    head = b"".join(_header(name, value) for name, value in headers.items())
    body = json.dumps(payload, ensure_ascii=False).encode()
    prelude = struct.pack("!II", _PRELUDE + len(head) + len(body) + _CRC, len(head))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + head + body
    return message + struct.pack("!I", zlib.crc32(message))


def _header(name: str, value: str) -> bytes:
    key, data = name.encode(), value.encode()
    return struct.pack(f"!B{len(key)}sBH", len(key), key, _STRING, len(data)) + data
