"""A caller with a microphone and ears, in a room of the real SFU."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from livekit import rtc

from speech import HEARING_RATE, RATE, heard, overlap, spoken
from stands import Stage, call, until

FRAME = RATE // 50  # 20 ms
# The share of the expected words that Whisper tiny must make out of espeak's voice behind Opus.
ENOUGH = 0.7
LOUD = 300.0


class Caller:
    """Speaks, and keeps everything that comes back."""

    def __init__(self, room: rtc.Room) -> None:
        self.room = room
        self.turns: dict[int, dict[str, Any]] = {}
        self.transcripts: dict[str, list[str]] = {"caller": [], "agent": []}
        self._pieces: list[np.ndarray[Any, Any]] = []
        self._microphone = rtc.AudioSource(RATE, 1)
        self._to_say: asyncio.Queue[bytes] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self.room.register_text_stream_handler("voice.turn", self._on_turn)
        self.room.register_text_stream_handler("lk.transcription", self._on_transcript)
        self.room.on("track_subscribed", lambda track, *_: self._keep(self._listen(track)))
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", self._microphone)
        await self.room.local_participant.publish_track(track, options)
        self._keep(self._speak())

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._microphone.aclose()

    def say(self, words: str) -> None:
        """Speak after what is being spoken; silence follows for as long as the call lasts."""
        self._to_say.put_nowait(spoken(words))

    def mark(self) -> int:
        """A place in what was heard so far."""
        return len(self._pieces)

    async def hears(self, words: str, since: int = 0) -> str:
        """Wait until `words` were heard; return all that was."""
        text = ""

        async def enough() -> bool:
            nonlocal text
            text = await asyncio.to_thread(heard, self.sound(since))
            return overlap(words, text) >= ENOUGH

        try:
            await until(enough, "the expected words are heard")
        except AssertionError:
            raise AssertionError(f"expected {words!r}, heard {text!r}") from None
        return text

    def sound(self, since: int = 0) -> np.ndarray[Any, Any]:
        return np.concatenate([np.zeros(HEARING_RATE // 2, np.int16), *self._pieces[since:]])

    def loud_seconds(self, since: int = 0) -> float:
        """How much of what was heard is sound."""
        return sum(
            len(piece) / HEARING_RATE
            for piece in self._pieces[since:]
            if np.sqrt(np.mean(piece.astype(np.float64) ** 2)) > LOUD
        )

    async def turn(self, number: int) -> dict[str, Any]:
        """The `voice.turn` message with this number."""
        found: dict[str, Any] = await until(lambda: self.turns.get(number), f"turn {number} is reported")
        return found

    async def ready(self) -> None:
        """Wait until the agent has finished what it says, the greeting to begin with."""
        await until(lambda: self.transcripts["agent"], "the greeting is over")
        await self.state("listening")

    async def state(self, wanted: str) -> None:
        def reached() -> bool:
            people = self.room.remote_participants.values()
            return any(person.attributes.get("lk.agent.state") == wanted for person in people)

        await until(reached, f"the agent is {wanted}")

    def _keep(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _speak(self) -> None:
        pcm = b""
        while True:
            if not pcm and not self._to_say.empty():
                pcm = self._to_say.get_nowait()
            piece, pcm = pcm[: 2 * FRAME].ljust(2 * FRAME, b"\0"), pcm[2 * FRAME :]
            # keeps pace: it waits while a second of sound is queued
            await self._microphone.capture_frame(rtc.AudioFrame(piece, RATE, 1, FRAME))

    async def _listen(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream(track, sample_rate=HEARING_RATE, num_channels=1)
        try:
            async for event in stream:
                self._pieces.append(np.asarray(event.frame.data, dtype=np.int16).copy())
        finally:
            # left open, the SDK's threads call back into an interpreter that is shutting down
            await stream.aclose()

    def _on_turn(self, reader: rtc.TextStreamReader, _identity: str) -> None:
        async def read() -> None:
            turn = json.loads(await reader.read_all())
            self.turns[turn["turn"]] = turn

        self._keep(read())

    def _on_transcript(self, reader: rtc.TextStreamReader, identity: str) -> None:
        who = "caller" if identity == self.room.local_participant.identity else "agent"

        async def read() -> None:
            self.transcripts[who].append(await reader.read_all())

        self._keep(read())


@contextlib.asynccontextmanager
async def calling(stage: Stage, room_name: str) -> AsyncIterator[Caller]:
    """A caller in a call of their own."""
    async with call(stage, room_name) as room:
        caller = Caller(room)
        await caller.start()
        try:
            yield caller
        finally:
            await caller.close()


def unique(name: str) -> str:
    """A room nobody was in."""
    return f"{name}-{time.monotonic_ns()}"
