"""The server. Who asks is known by the address it asks from, which is also the public one of its machine."""

from __future__ import annotations

import base64
import json
import os
import re
import threading
import time
from datetime import datetime, timezone

from tests.lab import aws
from tests.lab.controlled import ControlledHandler, ControlledServer

INSTANCE = "i-1234567890abcdef0"
"""The example of AWS's own documentation."""
_DATA = "/latest/meta-data/"
_TTL = "X-aws-ec2-metadata-token-ttl-seconds"
_LONGEST_S = 21600


class ImdsServer(ControlledServer):
    """The listening server with the tokens that it gave, and to whom."""

    def __init__(self, address: str, port: int = 0) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[str, tuple[str, float]] = {}
        super().__init__((address, port), ImdsHandler)

    def new_token(self, host: str, seconds: int) -> str:
        """A session token; those that have expired are forgotten on the way."""
        token = base64.urlsafe_b64encode(os.urandom(42)).decode()
        now = time.time()
        with self._lock:
            self._tokens = {each: (owner, end) for each, (owner, end) in self._tokens.items() if end > now}
            self._tokens[token] = (host, now + seconds)
        return token

    def admits(self, host: str, token: str) -> bool:
        """Whether this token was given to this host and is still good."""
        owner, end = self._tokens.get(token, ("", 0.0))
        return owner == host and end > time.time()


class ImdsHandler(ControlledHandler):
    """One connection."""

    server: ImdsServer

    def route(self, path: str) -> None:
        """IMDSv2: a token first, then data with it."""
        if path == "/latest/api/token":
            self._give_token()
        elif not self.server.admits(self._host, self.headers.get("X-aws-ec2-metadata-token", "")):
            self._fail(401, "Unauthorized")
        elif self.command != "GET":
            self._fail(405, "Method Not Allowed")
        else:
            self._read(path)

    @property
    def _host(self) -> str:
        return str(self.client_address[0])

    def _give_token(self) -> None:
        seconds = self.headers.get(_TTL, "")
        if self.command != "PUT":
            self._fail(405, "Method Not Allowed")
        elif "X-Forwarded-For" in self.headers:  # so that no open proxy hands out a role
            self._fail(403, "Forbidden")
        elif not re.fullmatch(r"\d{1,5}", seconds) or not 1 <= int(seconds) <= _LONGEST_S:
            self._fail(400, "Bad Request")
        else:
            token = self.server.new_token(self._host, int(seconds))
            self.send_content(200, "text/plain", token.encode(), {_TTL: seconds})

    def _read(self, path: str) -> None:
        name = path.removeprefix(_DATA).strip("/")
        data = _data(self._host)
        if not path.startswith(_DATA) or name not in data:
            self._fail(404, "Not Found")
        else:
            self.send_content(200, "text/plain", data[name].encode())

    def _fail(self, status: int, reason: str) -> None:
        self.send_content(status, "text/html", f"<html><h1>{status} - {reason}</h1></html>".encode())


def _data(host: str) -> dict[str, str]:
    """Everything a host may ask for."""
    return {
        "instance-id": INSTANCE,
        "local-ipv4": host,
        "public-ipv4": host,
        "placement/region": aws.REGION,
        "placement/availability-zone": f"{aws.REGION}a",
        "iam/security-credentials": aws.ROLE,
        f"iam/security-credentials/{aws.ROLE}": json.dumps(_role(), indent=2),
    }


def _role() -> dict[str, str]:
    credentials = aws.role()
    assert credentials.token is not None
    assert credentials.expires is not None
    return {
        "Code": "Success",
        "LastUpdated": _iso(credentials.expires - aws.LIFETIME),
        "Type": "AWS-HMAC",
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key,
        "Token": credentials.token,
        "Expiration": _iso(credentials.expires),
    }


def _iso(when: float) -> str:
    return datetime.fromtimestamp(when, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
