"""On the path of an agent under test, for each of its processes.

Every logger logs all it has, and each attempt to reach another machine, or to learn its address, is told.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

HERE = ("127.", "::1", "localhost", "0.0.0.0", "198.18.0.1")  # noqa: S104 (compared with, not bound to)


def _tell(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in ("socket.connect", "socket.sendto", "socket.getaddrinfo"):
        return
    address = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
    host = address[0] if isinstance(address, tuple) else address
    # paths are unix sockets; None is this machine
    if host and not str(host).startswith(("/", "b'/", *HERE)):
        sys.stderr.write(f"OUTSIDE {event} {host!r}\n")


logging.Logger.isEnabledFor = lambda *_: True  # type: ignore[method-assign]
sys.addaudithook(_tell)
