"""A caller: joins a room and listens until it has heard the agent speak. Prints seconds heard and loudness as JSON.

Runs inside the agent's container (it has LiveKit's client, the key pair and the address), on stdin:

    docker exec -i voice-voice-agent-1 /opt/venv/bin/python - < tests/e2e/caller.py

With the word "stay" it stays on the line until HANG_UP exists, and then prints whether the agent was still there.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
from pathlib import Path

from livekit import api, rtc

ROOM = "e2e-greeting"
PATIENCE_S = 120
ENOUGH_S = 1.0
LOUD_RMS = 500.0
SAMPLE_RATE_HZ = 48_000
HANG_UP = Path("/tmp/hang-up")


async def listen(track: rtc.Track) -> tuple[float, float]:
    """Seconds of sound louder than LOUD_RMS, and the loudest frame's RMS."""
    heard, loudest = 0.0, 0.0
    async for event in rtc.AudioStream(track, sample_rate=SAMPLE_RATE_HZ, num_channels=1):
        samples = event.frame.data
        level = math.sqrt(sum(sample * sample for sample in samples) / len(samples))
        loudest = max(loudest, level)
        if level >= LOUD_RMS:
            heard += len(samples) / SAMPLE_RATE_HZ
        if heard >= ENOUGH_S:
            break
    return heard, loudest


async def agent_stays(room: rtc.Room) -> bool:
    """Stay on the line until HANG_UP exists; whether the agent did, too."""
    while not HANG_UP.exists():
        await asyncio.sleep(0.1)
    return bool(room.remote_participants)


async def main() -> None:
    """Join, wait for the agent's audio, listen, leave."""
    grants = api.VideoGrants(room_join=True, room=ROOM)
    token = api.AccessToken().with_identity("caller").with_grants(grants).to_jwt()
    room = rtc.Room()
    track: asyncio.Future[rtc.Track] = asyncio.get_running_loop().create_future()

    def subscribed(found: rtc.Track, *_: object) -> None:
        if found.kind == rtc.TrackKind.KIND_AUDIO and not track.done():
            track.set_result(found)

    room.on("track_subscribed", subscribed)
    async with asyncio.timeout(PATIENCE_S):
        await room.connect(os.environ["LIVEKIT_URL"], token)
        try:
            heard, loudest = await listen(await track)
            print(json.dumps({"heard_s": round(heard, 2), "loudest_rms": round(loudest)}), flush=True)
            if sys.argv[1:] == ["stay"]:
                print(json.dumps({"agent_stayed": await agent_stays(room)}), flush=True)
        finally:
            await room.disconnect()


asyncio.run(main())
# LiveKit's threads do not survive the interpreter's end (on_host/verify/probe.py).
os._exit(0)
