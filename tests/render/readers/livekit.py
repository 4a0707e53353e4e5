"""livekit.yaml as the real livekit-server reads it, and the server that runs with it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

from tests.lab import binaries
from tests.render.matrix import FACTS, Case
from tests.render.readers.compose import KEY
from tests.render.readers.network import await_, await_port, listening, program

_FILE = "/etc/livekit/livekit.yaml"
_STARTED = "starting LiveKit server"


def place(case: Case, root: Path) -> None:
    """A file system with the server, the rendered file, and the key pair that a host makes."""
    directory = root / "etc/livekit"
    directory.mkdir(parents=True)
    (directory / "livekit.yaml").write_bytes(case.files["livekit/livekit.yaml"].content)
    keys = directory / "keys.yaml"
    keys.write_text(": ".join(KEY) + "\n")
    keys.chmod(0o600)
    shutil.copy(binaries.livekit_server(), root / "livekit-server")


def check_ports(case: Case, root: Path) -> None:
    """Raise AssertionError unless `livekit-server ports` names the ports of the settings, and no other."""
    place(case, root)
    command = ["chroot", str(root), "/livekit-server", "--config", _FILE, "ports"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    settings = case.settings.livekit
    wanted = {
        f"{settings.port} - HTTP service",
        f"{settings.tcp_port} - ICE/TCP",
        f"{settings.rtc_port_start}-{settings.rtc_port_end} - ICE/UDP range",
    }
    if settings.turn_enabled:
        wanted.add(f"{settings.turn_port} - TURN/UDP")
    # Its exit status is 0 whatever happens: what it says is the answer.
    said = (done.stdout + done.stderr).splitlines()
    assert {line for line in said if line not in ("TCP Ports", "UDP Ports")} == wanted


@contextmanager
def running(case: Case, root: Path) -> Iterator[Path]:
    """The server in this network; yields its log."""
    place(case, root)
    log = root / "log"
    with program(root, "/livekit-server", "--config", _FILE) as started:
        await_port(started, log, case.settings.livekit.port)
        if case.settings.livekit.log_level in ("debug", "info"):
            await_(f"{_STARTED!r} in the log", lambda: _STARTED in log.read_text(), log)
        yield log


def check_running(case: Case, root: Path) -> None:
    """Raise AssertionError unless the server listens where it should alone, and tells callers what it must."""
    settings = case.settings.livekit
    with running(case, root) as log:
        public = {("tcp", "127.0.0.1", settings.port), ("tcp", "*", settings.tcp_port)}
        if settings.turn_enabled:
            public.add(("udp", "*", settings.turn_port))
        assert listening() == public
        said = [json.loads(line) for line in log.read_text().splitlines()]
        with socket.create_connection(("127.0.0.1", settings.port), timeout=10) as stream:
            _check_ice_servers(case, join(stream, "127.0.0.1"))
    assert not [line for line in said if line["level"] in ("warn", "error")]
    if settings.log_level in ("debug", "info"):
        _check_words(case, said)
    else:
        assert not said


def _check_words(case: Case, said: list[dict[str, Any]]) -> None:
    """What the server says it understood."""
    settings = case.settings.livekit
    started = next(line for line in said if line["msg"] == _STARTED)
    assert started["nodeIP"] == FACTS.public_address
    assert started["bindAddresses"] == ["127.0.0.1"]
    assert started["rtc.portICERange"] == [settings.rtc_port_start, settings.rtc_port_end]
    relay = [line for line in said if line["msg"] == "Starting TURN server"]
    ranges = [(line["turn.relay_range_start"], line["turn.relay_range_end"]) for line in relay]
    expected = (settings.turn_relay_port_start, settings.turn_relay_port_end)
    assert ranges == ([expected] if settings.turn_enabled else [])


def _check_ice_servers(case: Case, joined: bytes) -> None:
    """Where the answer to joining sends a caller's browser for STUN and TURN: our own servers alone."""
    settings = case.settings.livekit
    # An ICEServer's `urls`: protobuf's field 1, the length in one byte, the text.
    found = re.finditer(rb"\n([\x01-\x7f])(?=(?:stun|turns?):)", joined)
    named = {joined[match.end() : match.end() + match[1][0]].decode() for match in found}
    wanted = {f"stun:{server}" for server in settings.stun_servers}
    if settings.turn_enabled:
        wanted.add(f"turn:{FACTS.public_address}:{settings.turn_port}?transport=udp")
    assert named == wanted


def join(stream: socket.socket, host: str) -> bytes:
    """Upgrade to a websocket and join a room: LiveKit's first message, the answer to it."""
    url = f"ws://{host}/rtc?access_token={token('a')}&protocol=9"
    joined = websocket.create_connection(url, timeout=10, socket=stream).recv()
    assert isinstance(joined, bytes)
    return joined


def token(room: str) -> str:
    """A caller's access token: a JWT signed with the key pair."""
    key, secret = KEY
    grant = {"room": room, "roomJoin": True}
    claims = {"iss": key, "sub": "reader", "exp": int(time.time()) + 600, "video": grant}
    parts = [_encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signature = hmac.digest(secret.encode(), ".".join(parts).encode(), hashlib.sha256)
    return ".".join([*parts, _encoded(signature)])


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
