"""One call: everything put together, the greeting, and the end."""

from __future__ import annotations

import asyncio
import os

from livekit.agents import (
    AgentSession,
    APIConnectOptions,
    JobContext,
    TurnHandlingOptions,
    UserStateChangedEvent,
    inference,
)
from livekit.agents.voice.agent_session import SessionConnectOptions
from livekit.agents.voice.room_io import AudioInputOptions, RoomOptions

from . import backstage, engines, patience, stt
from .conversation import Conversation
from .guard import Guard
from .llm import BedrockSession, bedrock
from .replies import Phrases
from .reports import Reports
from .settings import Settings
from .tts import VllmOmniTTS

# Silence within one utterance. Whisper hears whole utterances, so every cut costs a run of it (an encoder pass of 30
# seconds' worth whatever its length) and the words around the cut: docs/decisions/turn-detection.md has the figures.
SILENCE_SECONDS = 0.4
# How long after the last word the caller's turn is over: when the turn detector thinks so, and when it does not.
# The first is nearly always spent waiting for the transcript anyway.
TURN_LIKELY_SECONDS = 0.4
TURN_UNLIKELY_SECONDS = 2.0
# Speech that stops the agent. Shorter sounds are coughs and "mhm".
BARGE_IN_SECONDS = 0.5
CONNECT = APIConnectOptions(max_retry=patience.RETRIES, timeout=patience.ATTEMPT)
# The fourth lost sentence in a row ends the call: it is deaf and dumb by then. A spoken one starts the count anew.
LOST_IN_A_ROW = 3


async def entrypoint(ctx: JobContext) -> None:
    """Serve one room, in a process of its own."""
    settings = Settings(os.environ)
    main = backstage.Backstage(os.environ[backstage.VARIABLE])
    http = engines.client()
    aws = BedrockSession(settings.aws_region, settings.bedrock_url)
    guard = Guard(settings, http)
    phrases = Phrases(settings.guard_refusal, settings.apology)
    conversation = Conversation(
        settings.instructions, guard, phrases, Reports(main, ctx.room), judge_input=settings.guard_input
    )
    session: AgentSession[None] = AgentSession(
        stt=stt.SharedWhisper(main, settings.language, conversation.on_stt_failed),
        vad=inference.VAD(min_silence_duration=SILENCE_SECONDS),
        llm=bedrock(settings, aws),
        tts=VllmOmniTTS(settings.tts_url, settings.tts_voice, settings.tts_model, http=http),
        turn_handling=_turn_handling(),
        # they would cut sentences anew; the conversation takes markup out of each
        tts_text_transforms=None,
        # sessions are few, and a tab left open would hold one for ever
        user_away_timeout=float(settings.silent_call_seconds),
        # The framework would not let callers interrupt the first three seconds of speech; the greeting, which is
        # not interruptible, is longer than the echo cancellation of any browser needs.
        aec_warmup_duration=None,
        conn_options=SessionConnectOptions(
            stt_conn_options=CONNECT,
            llm_conn_options=CONNECT,
            tts_conn_options=CONNECT,
            max_unrecoverable_errors=LOST_IN_A_ROW,
        ),
    )
    _listen(ctx, session, conversation)

    async def close() -> None:
        await asyncio.gather(main.close(), aws.close(), http.close())

    ctx.add_shutdown_callback(close)
    await session.start(
        conversation,
        room=ctx.room,
        room_options=_room_options(settings),
        # Otherwise anyone in the room could drive and observe the session.
        session_host=False,
        # Not left to the server's setting: what is said is never recorded.
        record=False,
    )
    # The greeting says that a machine speaks and what it is for: callers hear all of it. What they say meanwhile is
    # heard, though not answered before it ends.
    session.say(settings.greeting, allow_interruptions=False)
    await aws.warm_up()


def _turn_handling() -> TurnHandlingOptions:
    return {
        # by name: the other version asks LiveKit's cloud
        "turn_detection": inference.TurnDetector(version="v1-mini"),
        "endpointing": {"mode": "fixed", "min_delay": TURN_LIKELY_SECONDS, "max_delay": TURN_UNLIKELY_SECONDS},
        "interruption": {
            "enabled": True,
            "mode": "vad",  # the other mode asks LiveKit's cloud
            "min_duration": BARGE_IN_SECONDS,
            "discard_audio_if_uninterruptible": False,
        },
        # The model starts at the transcript; speech, which cannot be taken back, when the turn is over.
        "preemptive_generation": {"enabled": True, "preemptive_tts": False},
    }


def _room_options(settings: Settings) -> RoomOptions:
    return RoomOptions(
        # what VAD, the turn detector and Whisper hear; resampled once
        audio_input=AudioInputOptions(sample_rate=stt.SAMPLE_RATE),
        # words that were typed would pass by the guard
        text_input=False,
        text_output=settings.publish_transcripts,
    )


def _listen(ctx: JobContext, session: AgentSession[None], conversation: Conversation) -> None:
    def hang_up(event: UserStateChangedEvent) -> None:
        if event.new_state == "away":
            ctx.shutdown("nobody spoke")

    # The framework closes the session when the caller leaves, but stays in the empty room, which would count as a
    # running call.
    session.on("close", lambda _event: ctx.shutdown("session closed"))
    session.on("user_state_changed", hang_up)
    session.on("speech_created", conversation.on_speech_created)
    session.on("user_input_transcribed", conversation.on_transcript)
    session.on("agent_state_changed", conversation.on_state)
