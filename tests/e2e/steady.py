"""Callers' traffic while something changes: requests on new and on kept connections, and one open signalling WebSocket.

A server may close a kept connection between two requests, and a client then asks again on a new one (RFC 9112, 9.3.1),
as browsers do: that is counted by itself. On a connection that was just opened nothing is forgiven, not even when its
first request comes as late as over a real network.

Runs inside the agent's container (it has LiveKit's key pair and is on the host's network) until STOP exists, and leaves
what it saw in REPORT. Arguments: the site's name.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import ssl
import sys
import time
from pathlib import Path

from livekit import api

READY, STOP, REPORT = Path("/tmp/steady.ready"), Path("/tmp/steady.stop"), Path("/tmp/steady.json")
TIMEOUT_S = 10
ENOUGH = 20
NETWORK_S = 0.1
"""Between a connection and its first request: a round trip of 100 ms, which 127.0.0.1 does not have."""

CLOSE = 8
LONGEST_S = 45
"""How long one WebSocket is watched: after a minute LiveKit closes that of a caller whose media never came."""


def connection(domain: str) -> ssl.SSLSocket:
    """TLS to Caddy under the site's name; whose certificate it is is another test's question."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(("127.0.0.1", 443), TIMEOUT_S), server_hostname=domain)


class Kept(http.client.HTTPSConnection):
    """A connection that is kept between requests."""

    def connect(self) -> None:
        self.sock = connection(self.host)


def ask(client: Kept) -> str:
    """What was wrong with the answer to one request, or "".

    Raises:
        OSError: there was no answer (http.client.RemoteDisconnected is one).
        http.client.HTTPException: it was none of HTTP's.
    """
    client.request("GET", "/")
    answer = client.getresponse()
    body = answer.read()
    return "" if (answer.status, body) == (200, b"OK") else f"{answer.status} {body[:80]!r}"


def fresh(domain: str) -> str:
    """What was wrong with a request on a new connection, or ""."""
    client = Kept(domain)
    try:
        client.connect()
        time.sleep(NETWORK_S)
        return ask(client)
    except (OSError, http.client.HTTPException) as error:
        return f"on a new connection: {error!r}"
    finally:
        client.close()


def signalling(domain: str) -> ssl.SSLSocket:
    """An upgraded connection to LiveKit's signalling, as a client library opens it."""
    grants = api.VideoGrants(room_join=True, room="e2e-steady")
    token = api.AccessToken().with_identity("steady").with_grants(grants).to_jwt()
    sock = connection(domain)
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(
        f"GET /rtc?access_token={token}&protocol=9&sdk=python HTTP/1.1\r\nHost: {domain}\r\nConnection: Upgrade\r\n"
        f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    first = sock.recv(4096)
    if not first.startswith(b"HTTP/1.1 101"):
        raise ConnectionError(first[:200])
    sock.settimeout(0.01)
    return sock


def is_open(sock: ssl.SSLSocket) -> bool:
    """Whether nobody closed it: neither the connection nor, by its last frame, the WebSocket."""
    while True:
        try:
            frame = sock.recv(65536)
        except (TimeoutError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False
        if not frame or frame[0] & 0x0F == CLOSE:
            return False


def main() -> None:
    """Ask until told to stop."""
    domain = sys.argv[1]
    kept, websocket, opened = Kept(domain), signalling(domain), time.monotonic()
    failed, count, reopened, stays_open = [], 0, 0, True
    while not STOP.exists() or count < ENOUGH:
        problems = [fresh(domain)]
        try:
            problems.append(ask(kept))
        except http.client.RemoteDisconnected:
            kept.close()
            reopened += 1
            problems.append(ask(kept))
        count += len(problems)
        failed += [problem for problem in problems if problem]
        stays_open = stays_open and is_open(websocket)
        if time.monotonic() - opened > LONGEST_S:
            websocket.close()
            websocket, opened = signalling(domain), time.monotonic()
        READY.touch()
    report = {"requests": count, "failed": failed, "reopened": reopened, "websocket_open": stays_open}
    REPORT.write_text(json.dumps(report))


main()
