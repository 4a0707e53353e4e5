"""The token of a link: what it allows, how long, and that the secret stays where it is."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import jwt
import pytest

from stands import AGENT

KEY, SECRET = "devkey", "a-secret-of-at-least-thirty-two-characters"


def invite(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "voice_agent", "invite", *words]
    pair = {"LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": SECRET}
    return subprocess.run(
        command, cwd=AGENT, env={**pair, **environment}, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_token_allows_one_room_a_microphone_and_ears_for_so_many_minutes() -> None:
    before = time.time()
    done = invite("--minutes", "7")
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    said = json.loads(done.stdout)
    claims = jwt.decode(said["token"], SECRET, algorithms=["HS256"])
    room = claims["video"].pop("room")
    assert claims["video"] == {
        "roomJoin": True,
        "canPublish": True,
        "canPublishData": False,
        "canPublishSources": ["microphone"],
        "canSubscribe": True,
    }
    assert room.startswith("talk-")
    assert claims["roomConfig"] == {"name": room, "emptyTimeout": 30, "departureTimeout": 1}
    assert claims["iss"] == KEY
    assert before + 7 * 60 - 1 <= claims["exp"] <= time.time() + 7 * 60
    assert abs(claims["exp"] - said["expires_at"]) <= 1
    assert not {"sip", "agent", "inference", "metadata"} & {name for name, value in claims.items() if value}


def test_two_links_are_two_rooms_and_two_people() -> None:
    first, second = (
        jwt.decode(json.loads(invite("--minutes", "1").stdout)["token"], SECRET, algorithms=["HS256"]) for _ in "ab"
    )
    assert first["video"]["room"] != second["video"]["room"]
    assert first["sub"] != second["sub"]


def test_an_agent_with_a_name_is_asked_for() -> None:
    claims = jwt.decode(
        json.loads(invite("--minutes", "1", AGENT_NAME="receptionist").stdout)["token"], SECRET, algorithms=["HS256"]
    )
    assert claims["roomConfig"]["agents"] == [{"agentName": "receptionist"}]


@pytest.mark.parametrize("words", [(), ("--minutes",), ("--minutes", "0"), ("--minutes", "61"), ("--minutes", "1e1")])
def test_anything_but_a_short_time_is_refused(words: tuple[str, ...]) -> None:
    assert invite(*words).returncode == 64


def test_without_a_key_pair_there_is_no_token() -> None:
    done = invite("--minutes", "1", LIVEKIT_API_SECRET="")
    assert done.returncode == 78
    assert done.stderr == "setting LIVEKIT_API_SECRET: not set\n"
