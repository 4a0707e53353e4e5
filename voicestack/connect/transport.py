"""What ssh connections of a run need beyond pyinfra's defaults."""

from __future__ import annotations

import socket
from typing import Any

import paramiko


def harden() -> None:
    """Every connection of this process: no delay for small packets, no SHA-1 signatures. Safe to call twice.

    paramiko leaves Nagle's algorithm on, which costs 40 ms a command (facts: pyinfra-and-peers.md, section 4).
    paramiko 4 accepts ssh-rsa (SHA-1) host keys and signatures (CVE-2026-44405); pyinfra 3.10 holds it below 5.
    """
    if getattr(paramiko.Transport.__init__, "hardened", False):
        return
    original = paramiko.Transport.__init__

    def connect(self: paramiko.Transport, sock: Any, *arguments: Any, **options: Any) -> None:
        original(self, sock, *arguments, **options)
        # A tunnel's end (tunnel.py) is no TCP socket; the one behind it has the option.
        if isinstance(self.sock, socket.socket) and self.sock.family in (socket.AF_INET, socket.AF_INET6):
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Disabled, not only taken off the list: SSHClient puts it back in front for a host with an RSA key in
        # known_hosts. Such a host can still sign with rsa-sha2-512.
        self.disabled_algorithms = {"keys": ["ssh-rsa"], "pubkeys": ["ssh-rsa"]}

    connect.hardened = True  # type: ignore[attr-defined]
    paramiko.Transport.__init__ = connect  # type: ignore[method-assign]
