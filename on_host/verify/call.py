"""One call in a throw-away room: a microphone that is never silent for good, an ear that keeps what it hears."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any, TypeVar

from livekit import api, rtc

from on_host.verify.checking import FailureError
from on_host.verify.request import Request
from on_host.verify.sound import AUDIBLE_RMS, FRAME_SAMPLES, RATE, SILENCE, frames, loudness, trimmed
from on_host.verify.turns import Turn

TRANSCRIPTION, TURNS = "lk.transcription", "voice.turn"
SEGMENT_ID = "lk.segment_id"
AGENT_STATE = "lk.agent.state"
POLL_S = 0.05
QUIET_S = 1.0
"""Without sound and with an agent that neither thinks nor speaks: longer than the gaps between sentences."""

Found = TypeVar("Found")


def token(room: str, request: Request, *, key: str | None = None, secret: str | None = None) -> str:
    """A caller's token as the web backend makes one; the host's own pair (from the environment) signs it."""
    agents = [api.RoomAgentDispatch(agent_name=request.agent_name)] if request.agent_name else []
    # Whatever becomes of this program: the room ends soon after its last participant.
    configuration = api.RoomConfiguration(name=room, agents=agents, empty_timeout=30, departure_timeout=5)
    made = (
        api.AccessToken(key, secret)
        .with_identity("gate")
        .with_ttl(timedelta(minutes=10))
        .with_grants(api.VideoGrants(room_join=True, room=room))
        .with_room_config(configuration)
    )
    return str(made.to_jwt())


class Microphone:
    """Sends 10 ms frames without a pause: voice detection needs the silence after the words."""

    def __init__(self) -> None:
        # A short queue: the end of speech is known to a tenth of a second.
        self._source = rtc.AudioSource(RATE, 1, queue_size_ms=100)
        self._speech: asyncio.Queue[bytes] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def publish(self, room: rtc.Room) -> None:
        """Start sending."""
        track = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await room.local_participant.publish_track(track, options)
        self._task = asyncio.create_task(self._send())

    async def say(self, pcm: bytes) -> float:
        """Speak; the moment (monotonic) at which the last audible sample has left."""
        for piece in frames(trimmed(pcm)):
            self._speech.put_nowait(piece)
        await self._speech.join()
        return time.monotonic() + float(self._source.queued_duration)

    async def close(self) -> None:
        """Stop sending."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._source.aclose()

    async def _send(self) -> None:
        while True:
            speaking = not self._speech.empty()
            piece = self._speech.get_nowait() if speaking else SILENCE
            await self._source.capture_frame(rtc.AudioFrame(piece, RATE, 1, FRAME_SAMPLES))
            if speaking:
                self._speech.task_done()


class Call:
    """A caller's side of a call, joined by `joined`."""

    def __init__(self, request: Request) -> None:
        self.name = f"voice-gate-{secrets.token_hex(4)}"
        self.microphone = Microphone()
        self.turns: list[Turn] = []
        self.agent: rtc.RemoteParticipant | None = None
        self.agent_left = False
        self._request = request
        self._room = rtc.Room()
        self._heard: list[tuple[float, bytes]] = []
        self._segments: dict[tuple[bool, str], str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def join(self) -> None:
        """Connect through Caddy, as a browser does."""
        room = self._room
        room.on("participant_connected", self._arrived)
        room.on("participant_disconnected", self._gone)
        room.on("track_subscribed", self._subscribed)
        room.register_text_stream_handler(TRANSCRIPTION, self._transcription)
        room.register_text_stream_handler(TURNS, self._turn_stream)
        await room.connect(f"wss://{self._request.domain}", token(self.name, self._request))
        for participant in room.remote_participants.values():
            self._arrived(participant)
        await self.microphone.publish(room)

    async def leave(self) -> None:
        """Disconnect and delete the room."""
        for task in self._tasks:
            task.cancel()
        await self.microphone.close()
        await self._room.disconnect()
        async with api.LiveKitAPI(self._request.livekit_url) as livekit:
            # A room that never came to be, or a LiveKit that is gone, is no reason to fail now.
            with contextlib.suppress(Exception):
                await livekit.room.delete_room(api.DeleteRoomRequest(room=self.name))

    async def agent_joined(self) -> None:
        """Wait until LiveKit's dispatch has brought the agent."""
        await self._until(lambda: self.agent)

    async def quiet(self) -> None:
        """Wait until the agent has said what it has to say."""

        def said_all() -> bool | None:
            self._stop_if_left()
            state = self.agent.attributes.get(AGENT_STATE) if self.agent else None
            backwards = (at for at, piece in reversed(self._heard) if loudness(piece) >= AUDIBLE_RMS)
            is_quiet = time.monotonic() - next(backwards, 0.0) >= QUIET_S
            return True if is_quiet and state not in ("speaking", "thinking") else None

        await self._until(said_all)

    async def audible_after(self, moment: float) -> float:
        """Wait for the first audible frame that arrives after `moment`; when that was."""

        def heard() -> float | None:
            return next((at for at, piece in self._heard if at > moment and loudness(piece) >= AUDIBLE_RMS), None)

        return await self._until(heard)

    async def turn_number(self, count: int) -> Turn:
        """Wait until the agent has reported so many turns; the last of them."""
        return await self._until(lambda: self.turns[count - 1] if len(self.turns) >= count else None)

    def heard_since(self, moment: float) -> bytes:
        """What came from the agent since then."""
        return b"".join(piece for at, piece in self._heard if at > moment)

    def take_texts(self) -> tuple[str, str]:
        """What the agent published since this was last called: the caller's words, its own."""
        callers, agents = (
            " ".join(text.strip() for (own, _), text in self._segments.items() if own is mine) for mine in (True, False)
        )
        self._segments.clear()
        return callers, agents

    async def _until(self, found: Callable[[], Found | None]) -> Found:
        while (result := found()) is None:
            self._stop_if_left()
            await asyncio.sleep(POLL_S)
        return result

    def _stop_if_left(self) -> None:
        if self.agent_left:
            raise FailureError(
                "the agent left the call", leg="worker", cause="`docker logs voice-voice-agent-1` says why"
            )

    def _arrived(self, participant: rtc.RemoteParticipant) -> None:
        if participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT:
            self.agent = participant

    def _gone(self, participant: rtc.RemoteParticipant) -> None:
        self.agent_left = self.agent_left or participant is self.agent

    def _subscribed(self, track: rtc.Track, *_: Any) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self._start(self._listen(track))

    async def _listen(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=10)
        async for received in stream:
            self._heard.append((time.monotonic(), bytes(received.frame.data)))

    def _transcription(self, reader: rtc.TextStreamReader, identity: str) -> None:
        self._start(self._read_transcription(reader, own=identity == self._room.local_participant.identity))

    async def _read_transcription(self, reader: rtc.TextStreamReader, *, own: bool) -> None:
        segment = (reader.info.attributes or {}).get(SEGMENT_ID, reader.info.stream_id)
        text = ""
        # The caller's words come as one stream for each guess, the last of them final; the agent's as one that grows.
        async for piece in reader:
            text += piece
            self._segments[own, segment] = text

    def _turn_stream(self, reader: rtc.TextStreamReader, _identity: str) -> None:
        self._start(self._read_turn(reader))

    async def _read_turn(self, reader: rtc.TextStreamReader) -> None:
        self.turns.append(Turn.parse(await reader.read_all()))

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@contextlib.asynccontextmanager
async def calling(request: Request) -> AsyncIterator[Call]:
    """A call that leaves nothing behind; `join` is the caller's to do."""
    call = Call(request)
    try:
        yield call
    finally:
        await call.leave()
