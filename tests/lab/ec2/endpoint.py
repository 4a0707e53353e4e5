"""An EC2 Instance Connect Endpoint: WebSocket over TLS outside, TCP inside, until somebody cuts it."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from email.message import Message
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from wsproto import ConnectionType, WSConnection, events
from wsproto.utilities import LocalProtocolError

from tests.lab.bedrock import signature
from tests.lab.bedrock.errors import Refused

_FRAME = 65_000


class Endpoint:
    """The listening endpoint; `certificate` is the file that a client must trust."""

    def __init__(self, directory: Path) -> None:
        self.certificate, key = certificate(directory)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(self.certificate, key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.name = f"localhost:{self._listener.getsockname()[1]}"
        self.opened: list[dict[str, str]] = []
        """The query of every tunnel that was admitted."""
        self._open: list[_Carrier] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def cut(self, reason: str = "Maximum tunnel duration reached") -> None:
        """End all tunnels, as after an hour."""
        while self._open:
            self._open.pop().close(reason)

    def stop(self) -> None:
        """No more tunnels."""
        self.cut("stopped")
        self._listener.shutdown(socket.SHUT_RDWR)  # closing alone does not wake who accepts
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._admit, args=(connection,), daemon=True).start()

    def _admit(self, connection: socket.socket) -> None:
        with suppress(OSError):
            carrier = _Carrier(self._tls.wrap_socket(connection, server_side=True))
            query = carrier.handshake()
            if query is not None:
                self.opened.append(query)
                self._open.append(carrier)
                carrier.carry(query["privateIpAddress"], int(query["remotePort"]))


class _Carrier:
    """One tunnel."""

    def __init__(self, outside: ssl.SSLSocket) -> None:
        self._outside = outside
        self._protocol = WSConnection(ConnectionType.SERVER)
        self._lock = threading.Lock()

    def handshake(self) -> dict[str, str] | None:
        """The query of a request that is signed as it must be; None after a refusal."""
        request = next(event for event in self._events() if isinstance(event, events.Request))
        headers = Message()
        headers["host"] = request.host
        query = dict(parse_qsl(urlsplit(request.target).query))
        try:
            signature.check_url(request.target, headers, time.time(), "ec2-instance-connect")
            if urlsplit(request.target).path != "/openTunnel" or not 1 <= int(query["maxTunnelDuration"]) <= 3600:
                raise Refused(400, "InvalidParameter", "")
        except Refused as refused:
            self._say(events.RejectConnection(status_code=refused.status))
            self._outside.close()
            return None
        self._say(events.AcceptConnection())
        return query

    def carry(self, address: str, port: int) -> None:
        """Bytes both ways until an end closes."""
        try:
            inside = socket.create_connection((address, port), timeout=5)
        except OSError:
            self.close("Unable to reach the target")
            self._await_end()
            return
        inside.settimeout(None)
        threading.Thread(target=self._carry_out, args=(inside,), daemon=True).start()
        size = 0
        for event in self._events():
            if isinstance(event, events.BytesMessage):
                size += len(event.data)
                if size > _FRAME:
                    self.close("Frame too large")
                    break
                size = 0 if event.message_finished else size
                inside.sendall(event.data)
            elif isinstance(event, events.Ping):
                self._say(event.response())
            elif isinstance(event, (events.TextMessage, events.CloseConnection)):
                break
        with suppress(OSError):  # it was the target that closed it
            inside.shutdown(socket.SHUT_RDWR)  # close alone waits for the thread that reads from it
        inside.close()
        self._await_end()

    def _await_end(self) -> None:
        while self._outside.recv(_FRAME):
            pass

    def close(self, reason: str) -> None:
        """A close frame, then nothing more."""
        with suppress(OSError, LocalProtocolError):  # closed already
            self._say(events.CloseConnection(1000, reason))
            self._outside.shutdown(socket.SHUT_WR)  # reading on, or the frame is lost in a reset

    def _carry_out(self, inside: socket.socket) -> None:
        with suppress(OSError, LocalProtocolError):  # the tunnel was closed meanwhile
            while data := inside.recv(_FRAME):
                self._say(events.BytesMessage(data))
            self.close("The target closed the connection")

    def _events(self) -> Iterator[events.Event]:
        while data := self._outside.recv(_FRAME):
            with self._lock:
                self._protocol.receive_data(data)
                came = list(self._protocol.events())
            yield from came

    def _say(self, event: events.Event) -> None:
        with self._lock:
            self._outside.sendall(self._protocol.send(event))


def certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(timezone.utc)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = directory / "endpoint.pem", directory / "endpoint.key"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths
