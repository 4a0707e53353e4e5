"""Tells the main process and the room what happened in a call: times, verdicts and errors, never words."""

from __future__ import annotations

import asyncio
import json
import logging

from livekit import rtc

from .backstage import Backstage
from .guard import Direction, Verdict
from .logs import name_exception
from .turns import Turn

TOPIC = "voice.turn"

logger = logging.getLogger("voice_agent.reports")


class Reports:
    """One call's reports."""

    def __init__(self, backstage: Backstage, room: rtc.Room) -> None:
        self._backstage = backstage
        self._room = room
        self._sending: set[asyncio.Task[None]] = set()

    def verdict(self, direction: Direction, verdict: Verdict) -> None:
        """The guard said something, or did not."""
        self._backstage.report(
            {"what": "verdict", "direction": direction, "verdict": verdict.word, "categories": verdict.categories}
        )

    def error(self, leg: str, kind: str) -> None:
        """A leg failed."""
        logger.warning("%s failed: %s", leg, kind)
        self._backstage.report({"what": "error", "leg": leg, "kind": kind})

    def turn(self, turn: Turn) -> None:
        """A turn is over."""
        self._backstage.report({"what": "turn", "legs_ms": turn.legs_ms()})
        task = asyncio.create_task(self._send(json.dumps(turn.message())))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, message: str) -> None:
        try:
            await self._room.local_participant.send_text(message, topic=TOPIC)
        except Exception as error:  # the room may be gone, in more than one of the SDK's ways
            logger.info("a turn's figures did not reach the room (%s)", name_exception(error))
