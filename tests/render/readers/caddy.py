"""The Caddyfile as the real Caddy reads it, and requests to the Caddy that runs with it."""

from __future__ import annotations

import gzip
import http.client
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.lab import binaries
from tests.render.matrix import FACTS, Case
from tests.render.readers.network import await_, await_port, listening, program

_CONTAINER = {"XDG_CONFIG_HOME": "/config", "XDG_DATA_HOME": "/data", "HOME": "/root"}
"""What Caddy's image sets."""

_AUTHORITY = "data/caddy/pki/authorities/local/root.crt"
LETS_ENCRYPT = {
    "staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
    "production": "https://acme-v02.api.letsencrypt.org/directory",
}
NANOSECONDS = 10**9

_PAGE = f"<!DOCTYPE html><title>Talk</title>{' ' * 2000}"


@dataclass(frozen=True)
class Answer:
    """A response: its status, its headers in lower case, its body."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Caddy:
    """A Caddy that runs: its site, and the certificate of its own authority."""

    domain: str
    authority: Path
    health_port: int
    log: Path = field(repr=False)

    def plain(self, host: str, path: str = "/", port: int = 80) -> Answer | None:
        """An HTTP request; None if the connection is closed without an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            return _ask(connection, host, path)
        except http.client.RemoteDisconnected:
            return None

    def status(self, host: str, path: str, port: int = 80) -> int | None:
        """The status of an HTTP request's answer."""
        answer = self.plain(host, path, port)
        return answer.status if answer else None

    def secure(self, host: str, path: str = "/", *, name: str | None = None) -> Answer:
        """An HTTPS request with `host` in its header, to the server name `name` (the same if not given)."""
        stream = self.handshake(name or host)
        connection = http.client.HTTPSConnection(name or host)
        connection.sock = stream
        return _ask(connection, host, path)

    def handshake(self, name: str) -> ssl.SSLSocket:
        """A TLS connection, its certificate checked against Caddy's own authority and this name alone."""
        trust = ssl.create_default_context(cafile=str(self.authority))
        return trust.wrap_socket(socket.create_connection(("127.0.0.1", 443), timeout=10), server_hostname=name)


def _ask(connection: http.client.HTTPConnection, host: str, path: str) -> Answer:
    try:
        connection.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", host)
        connection.putheader("Accept-Encoding", "gzip")
        connection.endheaders()
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, headers, answer.read())
    finally:
        connection.close()


def _place(case: Case, root: Path) -> None:
    for directory in ("etc/caddy", "config", "data"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    (root / "etc/caddy/Caddyfile").write_bytes(case.files["caddy/Caddyfile"].content)


def adapted(case: Case, root: Path) -> dict[str, Any]:
    """Validated, in Caddy's own formatting, and as the JSON that Caddy works with."""
    _place(case, root)
    file = root / "etc/caddy/Caddyfile"
    config = ["--adapter", "caddyfile", "--config", str(file)]
    # `validate` provisions: it makes what storage needs below HOME.
    environment = {"HOME": str(root), "XDG_DATA_HOME": str(root / "data"), "XDG_CONFIG_HOME": str(root / "config")}
    for words in (["validate", *config], ["fmt", "--diff", str(file)], ["adapt", *config]):
        command = [str(binaries.caddy()), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout))


@contextmanager
def running(case: Case, root: Path) -> Iterator[Caddy]:
    """Caddy with the rendered file, in this network, its certificate there if it makes it itself."""
    _place(case, root)
    shutil.copy(binaries.caddy(), root / "caddy")
    if case.settings.talk.enabled:
        # What the image of Caddy with the page has; longer than what `encode` leaves alone.
        (root / "srv/talk").mkdir(parents=True)
        (root / "srv/talk/index.html").write_text(_PAGE)
    site = Caddy(case.settings.site.domain, root / _AUTHORITY, case.settings.caddy.health_port, root / "log")
    command = ("/caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile")
    with program(root, *command, **_CONTAINER) as started:
        await_port(started, site.log, site.health_port)
        await_port(started, site.log, 443)
        if case.settings.site.acme == "internal":
            _await_certificate(site)
        yield site


def _await_certificate(site: Caddy) -> None:
    """The certificate is written before it is served: only a handshake tells."""

    def served() -> bool:
        try:
            site.handshake(site.domain).close()
        except (OSError, ssl.SSLError):
            return False
        return True

    await_(f"a certificate for {site.domain}", served, site.log)


def check_file(case: Case, root: Path) -> None:
    """Raise AssertionError unless Caddy's reading of the file is what is meant."""
    config = adapted(case, root)
    settings = case.settings
    assert config["admin"]["listen"] == "unix//config/admin.sock|0600"
    assert config["logging"]["logs"]["default"]["level"] == settings.caddy.log_level
    policies = config["apps"].get("tls", {}).get("automation", {}).get("policies", [])
    issuers = [issuer for policy in policies for issuer in policy["issuers"]]
    if settings.site.acme == "internal":
        assert {issuer["module"] for issuer in issuers} == {"internal"}
        assert config["apps"]["pki"]["certificate_authorities"]["local"]["install_trust"] is False
    else:
        assert {issuer.get("email", "") for issuer in issuers} == {settings.site.acme_email}
        assert {issuer["module"] for issuer in issuers} == {"acme"}
        # No other authority: Caddy's default list has ZeroSSL in it.
        assert {issuer["ca"] for issuer in issuers} == {LETS_ENCRYPT[settings.site.acme]}
    for server in config["apps"]["http"]["servers"].values():
        assert server["protocols"] == ["h1", "h2"]
    for proxy in _proxies(config):
        assert proxy["upstreams"] == [{"dial": f"127.0.0.1:{settings.livekit.port}"}]
        # Longer than a call, or a reload ends every WebSocket (tests/e2e/test_ubuntu_releases.py sees that none ends).
        assert proxy["stream_close_delay"] == 24 * 3600 * NANOSECONDS


def _proxies(config: Any) -> list[dict[str, Any]]:
    """Every handler that passes requests on."""
    if isinstance(config, dict):
        own = [config] if config.get("handler") == "reverse_proxy" else []
        return own + _proxies(list(config.values()))
    return [proxy for each in config for proxy in _proxies(each)] if isinstance(config, list) else []


def check_running(case: Case, root: Path) -> None:
    """Raise AssertionError unless a Caddy with this file listens and answers as meant; LiveKit is not there."""
    with running(case, root) as site:
        assert listening() == {("tcp", "*", 80), ("tcp", "*", 443), ("tcp", "127.0.0.1", site.health_port)}
        assert site.status("127.0.0.1", "/healthz", site.health_port) == 200
        assert site.status("other.example.org", "/healthz/x", site.health_port) == 404
        redirected = site.plain(site.domain, "/room?a=b")
        assert redirected is not None
        assert (redirected.status, redirected.headers["location"]) == (308, f"https://{site.domain}/room?a=b")
        for host in ("other.example.org", FACTS.public_address, "127.0.0.1"):
            assert site.plain(host) is None
        if case.settings.site.acme == "internal":
            # A request that fails is logged, and LiveKit's clients put their token into its address.
            assert site.secure(site.domain, "/rtc?access_token=planted").status == 502
            logged = site.log.read_text()
            assert "REDACTED" in logged
            assert "planted" not in logged
            assert site.secure("other.example.org", name=site.domain).status == 421
            with pytest.raises(ssl.SSLError, match="alert internal error"):
                site.handshake("other.example.org")
            if case.settings.talk.enabled:
                _check_talk(site)
            else:
                assert site.secure(site.domain, "/talk/").status == 502


def _check_talk(site: Caddy) -> None:
    """The page is Caddy's own, compressed, in nobody's cache, and may reach its own origin alone."""
    moved = site.secure(site.domain, "/talk")
    assert (moved.status, moved.headers["location"]) == (302, "/talk/")
    page = site.secure(site.domain, "/talk/")
    assert (page.status, page.headers["content-encoding"]) == (200, "gzip")
    assert gzip.decompress(page.body).decode() == _PAGE
    assert site.secure(site.domain, "/talk/absent").status == 404
    own = ["script-src 'self'", "style-src 'self'", "img-src 'self'", f"connect-src 'self' wss://{site.domain}"]
    assert {"default-src 'none'", *own} <= set(page.headers["content-security-policy"].split("; "))
    assert "microphone=(self)" in page.headers["permissions-policy"]
    others = ("referrer-policy", "x-content-type-options", "cache-control")
    assert [page.headers[name] for name in others] == ["no-referrer", "nosniff", "no-store"]
