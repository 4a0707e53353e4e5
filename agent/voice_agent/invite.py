"""`python -m voice_agent invite --minutes N` prints a token with which one person may talk to the agent.

It runs in the agent's container, whose environment has LiveKit's key pair: the secret is in no command line.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from datetime import timedelta

from .environment import Reader

LONGEST_MINUTES = 60
# Seconds. LiveKit sends an agent to a room when the room is made, so who leaves and comes back must find a new one:
# the room ends almost with its caller. (One whose connection broke is waited for all the same: that is not leaving.)
EMPTY_SECONDS, DEPARTURE_SECONDS = 30, 1


def minutes(words: list[str]) -> int | None:
    """N of `--minutes N`, or None when the words say anything else."""
    match words:
        case ["--minutes", number] if number.isascii() and number.isdigit() and 1 <= int(number) <= LONGEST_MINUTES:
            return int(number)
    return None


def main(valid_minutes: int) -> int:
    """Print {"token": ..., "expires_at": seconds since the epoch} on one line."""
    read = Reader(os.environ)
    key, secret = read.text("LIVEKIT_API_KEY"), read.text("LIVEKIT_API_SECRET")
    name = read.text("AGENT_NAME", default="")
    read.check()
    expires_at = int(time.time()) + valid_minutes * 60
    sys.stdout.write(json.dumps({"token": token(key, secret, name, valid_minutes), "expires_at": expires_at}) + "\n")
    return 0


def token(key: str, secret: str, agent_name: str, valid_minutes: int) -> str:
    """Join a room of its own, speak, listen: nothing else. It can be used until it expires; a call goes on after."""
    from livekit import api  # noqa: PLC0415 (a second, and only here is it needed)

    # LiveKit sends an agent with a name to rooms that ask for it only.
    agents = [api.RoomAgentDispatch(agent_name=agent_name)] if agent_name else []
    room = f"talk-{secrets.token_hex(8)}"
    made = (
        api.AccessToken(key, secret)
        .with_identity(f"caller-{secrets.token_hex(8)}")
        .with_ttl(timedelta(minutes=valid_minutes))
        .with_grants(
            api.VideoGrants(room_join=True, room=room, can_publish_sources=["microphone"], can_publish_data=False)
        )
        .with_room_config(
            api.RoomConfiguration(
                name=room, agents=agents, empty_timeout=EMPTY_SECONDS, departure_timeout=DEPARTURE_SECONDS
            )
        )
    )
    return str(made.to_jwt())
