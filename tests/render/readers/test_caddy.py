"""The Caddyfile, read by the real Caddy; requests to it, with the real LiveKit behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.render import matrix
from tests.render.readers import caddy, livekit

CASES = matrix.distinct("caddy/")
pytestmark = pytest.mark.usefixtures("network")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_file_is_valid_formatted_and_says_what_is_meant(case: matrix.Case, tmp_path: Path) -> None:
    caddy.check_file(case, tmp_path)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_listens_on_its_three_ports_and_redirects(case: matrix.Case, tmp_path: Path) -> None:
    caddy.check_running(case, tmp_path)


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARN", "ERROR"])
def test_it_knows_every_log_level(level: str, tmp_path: Path) -> None:
    caddy.check_file(matrix.case(caddy_log_level=level), tmp_path)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[caddy.Caddy]:
    """Caddy with its own authority, LiveKit behind it."""
    case = matrix.case(site_acme="internal")
    (tmp_path / "livekit").mkdir()
    (tmp_path / "caddy").mkdir()
    with livekit.running(case, tmp_path / "livekit"), caddy.running(case, tmp_path / "caddy") as running:
        yield running


def test_the_site_is_livekits(site: caddy.Caddy) -> None:
    assert site.secure(site.domain, "/").body == b"OK"
    assert site.secure(site.domain, "/healthz").status == 404


def test_a_websocket_passes_through_to_livekit(site: caddy.Caddy) -> None:
    """The upgrade, and LiveKit's first message: the answer to joining a room."""
    with site.handshake(site.domain) as stream:
        joined = livekit.join(stream, site.domain)
    assert b"reader" in joined


def test_a_caller_without_a_token_is_refused_by_livekit(site: caddy.Caddy) -> None:
    assert site.secure(site.domain, "/rtc/validate").status == 401
    assert site.secure(site.domain, f"/rtc/validate?access_token={livekit.token('a')}").status == 200


@pytest.mark.parametrize("acme", ["staging", "production"])
def test_lets_encrypts_question_is_answered_before_other_names_are_refused(acme: str, tmp_path: Path) -> None:
    """HTTP-01: Caddy answers from its storage, where this test puts what an order under way would have put."""
    with caddy.running(matrix.case(site_acme=acme), tmp_path) as site:
        authority = urlsplit(caddy.LETS_ENCRYPT[acme]).netloc
        orders = tmp_path / f"data/caddy/acme/{authority}-directory/challenge_tokens"
        orders.mkdir(parents=True, exist_ok=True)
        order = {
            "type": "http-01",
            "token": "T",
            "keyAuthorization": "T.thumbprint",
            "identifier": {"type": "dns", "value": site.domain},
        }
        (orders / f"{site.domain}.json").write_text(json.dumps(order))
        answer = site.plain(site.domain, "/.well-known/acme-challenge/T")
        assert answer is not None
        assert answer.body == b"T.thumbprint"
