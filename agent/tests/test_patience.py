"""No leg of a turn leaves the caller in silence for longer than patience.py says: each hangs here, at a tenth of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from livekit import rtc
from livekit.agents import APIConnectOptions, APITimeoutError
from livekit.agents.llm import ChatContext
from voice_agent import backstage, patience
from voice_agent.guard import Guard, Verdict
from voice_agent.llm import BedrockSession, bedrock
from voice_agent.replies import Phrases, Replies
from voice_agent.session import CONNECT
from voice_agent.settings import Settings
from voice_agent.stt import SAMPLE_RATE, SharedWhisper
from voice_agent.tts import VllmOmniTTS
from voice_agent.turns import Reply

from models import Handler, Models, event
from stands import Stage

pytestmark = pytest.mark.anyio
SCALE = 0.1
LEG = SCALE * patience.LEG
SCALED = APIConnectOptions(max_retry=CONNECT.max_retry, timeout=SCALE * CONNECT.timeout)


@pytest.fixture(autouse=True)
def scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LEG", "ATTEMPT"):
        monkeypatch.setattr(patience, name, SCALE * getattr(patience, name))


@pytest.fixture
async def models(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Models]:
    built = Models(tone_seconds=2.0)
    await built.start()
    for name, value in Stage(Path(), models=built).environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    yield built
    await built.stop()


@contextmanager
def bounded() -> Iterator[None]:
    """The leg gives up in its time; the four seconds more are a busy machine's."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < LEG + 4


def silent_after(*pieces: bytes, content_type: str) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": content_type, "x-amzn-RequestId": "1"})
        if pieces:
            await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        await asyncio.sleep(3600)
        return response

    return handler


def settings(models: Models) -> Settings:
    environment = Stage(Path(), models=models).environment
    return Settings.from_environment({**environment, "GUARD_DEADLINE_MS": str(round(LEG * 1000))})


async def reply_of(models: Models, http: aiohttp.ClientSession) -> tuple[list[str], Reply]:
    """What is said in answer to a caller, by way of the real plugin and the guard."""
    told, reply, context = settings(models), Reply(), ChatContext.empty()
    session = BedrockSession(told.aws_region, told.bedrock_url)
    context.add_message(role="user", content="Hello.")
    replies = Replies(Guard(told, http), Phrases("No.", "Sorry."), lambda _: None, lambda *_: None)
    try:
        async with bedrock(told, session).chat(chat_ctx=context, conn_options=SCALED) as stream:
            return [sentence async for sentence in replies.speak("Hello.", stream, reply)], reply
    finally:
        await session.close()


async def test_a_model_that_never_answers(models: Models, http: aiohttp.ClientSession) -> None:
    models.bedrock_instead = silent_after(content_type="application/vnd.amazon.eventstream")
    with bounded():
        said, reply = await reply_of(models, http)
    assert said == ["Sorry."]
    assert reply.error == "llm: timeout"
    assert len(models.prompts) == 2  # asked again, within the same time


@pytest.mark.parametrize("text", ["It is green. And", ""])
async def test_a_model_that_stops_in_the_middle(models: Models, http: aiohttp.ClientSession, text: str) -> None:
    start = event("messageStart", {"role": "assistant"})
    delta = event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}})
    kind = "application/vnd.amazon.eventstream"
    models.bedrock_instead = silent_after(start, *([delta] if text else []), content_type=kind)
    with bounded():
        said, reply = await reply_of(models, http)
    assert said == (["It is green. ", "Sorry."] if text else ["Sorry."])
    assert reply.error == "llm: timeout"
    # what was said is not begun anew
    assert len(models.prompts) == (1 if text else 2)


@pytest.mark.parametrize("pieces", [(), (bytes(9600),)])
async def test_speech_that_hangs(models: Models, http: aiohttp.ClientSession, pieces: tuple[bytes, ...]) -> None:
    models.misbehave = silent_after(*pieces, content_type="audio/pcm")
    voice = VllmOmniTTS(models.tts_url, "de_female", http=http)
    with bounded(), pytest.raises(APITimeoutError):
        await voice.synthesize("Guten Tag.", conn_options=SCALED).collect()
    assert len(models.requests) == 2


async def test_speech_may_last_longer_than_a_leg(models: Models, http: aiohttp.ClientSession) -> None:
    """What is bounded is the silence between two pieces."""

    async def slowly(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
        await response.prepare(request)
        for _ in range(6):
            await response.write(bytes(9600))
            await asyncio.sleep(SCALED.timeout / 2)
        return response

    models.misbehave = slowly
    voice = VllmOmniTTS(models.tts_url, "de_female", http=http)
    frame = await voice.synthesize("Guten Tag.", conn_options=SCALED).collect()
    assert frame.duration == pytest.approx(6 * 0.2, abs=0.05)
    assert len(models.requests) == 1


async def test_recognition_that_hangs(tmp_path: Path) -> None:
    app, failures = web.Application(), list[str]()
    app.router.add_post("/transcribe", silent_after(content_type="text/plain"))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "socket")).start()
    main = backstage.Backstage(str(tmp_path / "socket"))
    whisper = SharedWhisper(main, "en", failures.append)
    with bounded():
        await whisper.recognize(rtc.AudioFrame.create(SAMPLE_RATE, 1, SAMPLE_RATE), conn_options=SCALED)
    assert failures == ["unreachable"]
    await main.close()
    await runner.cleanup()


async def test_a_guard_that_hangs(models: Models, http: aiohttp.ClientSession) -> None:
    models.guard_instead = silent_after(content_type="application/json")
    with bounded():
        assert await Guard(settings(models), http).judge_input("Hello.") == Verdict("deadline")


def test_what_ships_adds_up() -> None:
    longest, legs = patience.LONGEST_SILENCE, patience.LEG / SCALE
    assert longest == 10
    pauses = sum(CONNECT._interval_for_retry(number) for number in range(CONNECT.max_retry))
    # speech, and each attempt at the model, fit with their retries into a leg
    assert (CONNECT.max_retry + 1) * CONNECT.timeout + pauses <= legs
    # after which the apology is heard
    assert legs + patience.APOLOGY <= longest
