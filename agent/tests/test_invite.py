"""The token of a link: what it allows, how long, and that the secret stays where it is."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from stands import KEY, SECRET, Stage


def claims(**environment: str) -> dict[str, Any]:
    """What the token of a link for seven minutes says; the link expires when it does."""
    done = Stage(Path()).run("invite", "--minutes", "7", **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert SECRET not in done.stdout
    said = json.loads(done.stdout)
    found: dict[str, Any] = jwt.decode(said["token"], SECRET, algorithms=["HS256"])
    assert abs(found["exp"] - said["expires_at"]) <= 1
    return found


def test_a_token_allows_one_room_a_microphone_and_ears_for_so_many_minutes() -> None:
    before = time.time()
    found = claims()
    room = found["video"].pop("room")
    assert found["video"] == {
        "roomJoin": True,
        "canPublish": True,
        "canPublishData": False,
        "canPublishSources": ["microphone"],
        "canSubscribe": True,
    }
    assert room.startswith("talk-")
    assert found["roomConfig"] == {"name": room, "emptyTimeout": 30, "departureTimeout": 1}
    assert found["iss"] == KEY
    assert before + 7 * 60 - 1 <= found["exp"] <= time.time() + 7 * 60
    assert not {"sip", "agent", "inference", "metadata"} & {name for name, value in found.items() if value}


def test_two_links_are_two_rooms_and_two_people_and_ask_for_an_agent_with_a_name() -> None:
    first, second = claims(), claims(AGENT_NAME="receptionist")
    assert first["video"]["room"] != second["video"]["room"]
    assert first["sub"] != second["sub"]
    assert second["roomConfig"]["agents"] == [{"agentName": "receptionist"}]


@pytest.mark.parametrize("words", [(), ("--minutes",), ("--minutes", "0"), ("--minutes", "61"), ("--minutes", "1e1")])
def test_anything_but_a_short_time_is_refused(words: tuple[str, ...]) -> None:
    assert Stage(Path()).run("invite", *words).returncode == 64


def test_without_a_key_pair_there_is_no_token() -> None:
    done = Stage(Path()).run("invite", "--minutes", "1", LIVEKIT_API_SECRET="")
    assert (done.returncode, done.stdout, done.stderr) == (78, "", "setting LIVEKIT_API_SECRET: not set\n")
