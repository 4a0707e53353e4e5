"""The lab's metadata service, asked by the real client and with curl's means."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator

import pytest
from botocore.credentials import InstanceMetadataProvider
from botocore.utils import InstanceMetadataFetcher

from tests.lab import aws
from tests.lab.imds import server as imds
from tests.lab.imds.server import ImdsServer

DATA = "/latest/meta-data/"
TTL = "X-aws-ec2-metadata-token-ttl-seconds"


@pytest.fixture(scope="module")
def server() -> Iterator[ImdsServer]:
    started = ImdsServer("127.0.0.1")
    started.in_background()
    yield started
    started.shutdown()
    started.server_close()


def ask(
    server: ImdsServer, method: str, path: str, headers: dict[str, str] | None = None, source: str = "127.0.0.1"
) -> tuple[int, str]:
    """Status and text of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5, source_address=(source, 0))
    connection.request(method, path, headers=headers or {})
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


def token(server: ImdsServer, source: str = "127.0.0.1", seconds: str = "60") -> dict[str, str]:
    """The header of a session."""
    status, text = ask(server, "PUT", "/latest/api/token", {TTL: seconds}, source)
    assert status == 200
    return {"X-aws-ec2-metadata-token": text}


def fetcher(server: ImdsServer) -> InstanceMetadataFetcher:
    """What botocore asks the service with."""
    return InstanceMetadataFetcher(timeout=5, base_url=f"http://127.0.0.1:{server.server_port}/", env={})


def test_botocore_gets_the_roles_credentials(server: ImdsServer) -> None:
    credentials = InstanceMetadataProvider(fetcher(server)).load()
    expected = aws.role()
    frozen = credentials.get_frozen_credentials()
    assert (frozen.access_key, frozen.secret_key) == (expected.access_key_id, expected.secret_access_key)
    assert frozen.token == expected.token
    assert not credentials.refresh_needed()


def test_credentials_live_for_hours_and_change_every_hour() -> None:
    noon = 1_800_000_000 // 3600 * 3600.0
    early, late, next_one = aws.role(noon), aws.role(noon + 3599), aws.role(noon + 3600)
    assert early == late != next_one
    assert early.expires == noon + 6 * 3600
    assert aws.find(early.access_key_id, noon + 5 * 3600) == early


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("public-ipv4", "127.0.0.2"),
        ("local-ipv4", "127.0.0.2"),
        ("instance-id", imds.INSTANCE),
        ("placement/region", "eu-central-1"),
        ("iam/security-credentials/", aws.ROLE),
    ],
)
def test_who_asks_hears_about_itself(server: ImdsServer, path: str, expected: str) -> None:
    other = "127.0.0.2"
    assert ask(server, "GET", DATA + path, token(server, other), other) == (200, expected)


def test_without_a_good_token_there_is_nothing(server: ImdsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    path = DATA + "public-ipv4"
    mine = token(server)
    assert ask(server, "GET", path)[0] == 401
    assert ask(server, "GET", path, mine, "127.0.0.2")[0] == 401
    assert ask(server, "GET", path, mine)[0] == 200
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    assert ask(server, "GET", path, mine)[0] == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 400), ({TTL: "0"}, 400), ({TTL: "21601"}, 400), ({TTL: "60", "X-Forwarded-For": "192.0.2.1"}, 403)],
)
def test_tokens_are_not_for_everyone(server: ImdsServer, headers: dict[str, str], status: int) -> None:
    assert ask(server, "PUT", "/latest/api/token", headers)[0] == status


def test_unknown_data_is_not_found(server: ImdsServer) -> None:
    assert ask(server, "GET", DATA + "user-data", token(server))[0] == 404
    assert ask(server, "POST", DATA + "public-ipv4", token(server))[0] == 405
