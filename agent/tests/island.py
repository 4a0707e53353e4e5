"""Puts this process, and everything it starts, on a machine of its own that is connected to nobody.

It has one address and a default route, so that a packet for another machine is not refused but asks for the way: each
such question (ARP) is heard here, whichever library of whichever process sent the packet. Names would be asked for at
a nameserver, which is another machine.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
from pathlib import Path

CLONE_NEWNET = 0x40000000
EVERY_PROTOCOL = 3
ARP, IPV4 = b"\x08\x06", b"\x08\x00"
ADDRESS = "198.18.0.1"
NAME = "island"
# An address for documents (RFC 5737), which test_island.py calls: the question for its way is repeated for seconds.
NOBODY = "203.0.113.1"


class Island:
    """The machine of its own, and who was called from it."""

    def __init__(self) -> None:
        for command in (
            "link set lo up",
            # WebRTC does not use the loopback interface for its own end of a connection
            f"link add {NAME} type bridge",
            f"address add {ADDRESS}/32 dev {NAME}",
            f"link set {NAME} up",
            f"route add default dev {NAME} src {ADDRESS}",
        ):
            subprocess.run(["ip", *command.split()], check=True)
        Path(f"/proc/sys/net/ipv6/conf/{NAME}/disable_ipv6").write_text("1")
        self._ears = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
        self._ears.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        self._ears.bind((NAME, 0))
        self._ears.setblocking(False)

    def called(self) -> set[str]:
        """The machines that packets were meant for since the last time; the local network's multicast is not one."""
        found = set()
        with contextlib.suppress(BlockingIOError):
            while frame := self._ears.recv(65536):
                kind = frame[12:14]
                if kind in (ARP, IPV4):
                    found.add(socket.inet_ntoa(frame[38:42] if kind == ARP else frame[30:34]))
        return {address for address in found if not 224 <= int(address.split(".")[0]) <= 239}


def enter() -> Island | None:
    """Move there; None when this user may not. To be called before there are threads."""
    if os.geteuid() != 0 or ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        return None
    return Island()
