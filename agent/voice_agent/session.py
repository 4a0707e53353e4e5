"""One call: join the room and speak the greeting. The conversation itself is not built yet."""

from __future__ import annotations

import os

from livekit.agents import Agent, AgentSession, CloseEvent, ErrorEvent, JobContext
from livekit.agents.voice.room_io import RoomOptions

from .settings import Settings
from .tts import VllmOmniTTS


async def entrypoint(ctx: JobContext) -> None:
    """Serve one room, in a process of its own."""
    settings = Settings.from_environment(os.environ)
    session: AgentSession[None] = AgentSession(
        tts=VllmOmniTTS(settings.tts_url, settings.tts_voice),
        vad=None,
        turn_handling={"turn_detection": None},
        user_away_timeout=None,
    )

    def leave(_event: CloseEvent) -> None:
        # The framework closes the session when the caller leaves, but stays in the empty room, which would
        # count as a running call.
        ctx.shutdown("session closed")

    def give_up(event: ErrorEvent) -> None:
        # The framework ends a session at its fourth lost sentence; a greeting is lost once, and the caller
        # would wait in a silent room.
        if not event.error.recoverable:
            ctx.shutdown("speech failed")

    session.on("close", leave)
    session.on("error", give_up)
    await session.start(
        Agent(instructions=""),
        room=ctx.room,
        # Nothing listens yet, so nothing is subscribed to.
        room_options=RoomOptions(audio_input=False, text_input=False),
        # Otherwise anyone in the room could drive and observe the session.
        session_host=False,
        # Not left to the server's setting: what is said is never recorded.
        record=False,
    )
    await session.say(settings.greeting, allow_interruptions=False)
