from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from aiohttp import web
from livekit.agents import APIConnectionError, APIConnectOptions, APIError, APIStatusError
from voice_agent.tts import VllmOmniTTS

from models import Models, answering, streaming
from speech import RATE
from stands import PLANTED

pytestmark = pytest.mark.anyio
SECONDS = 2.0
ONCE = APIConnectOptions(max_retry=0, timeout=2)


async def speak(models: Models, http: aiohttp.ClientSession) -> float:
    voice = VllmOmniTTS(models.tts_url, "de_female", http=http)
    frame = await voice.synthesize(f"Ihr {PLANTED}.", conn_options=ONCE).collect()
    assert frame.sample_rate == RATE
    return frame.duration


async def refused(models: Models, http: aiohttp.ClientSession) -> APIError:
    with pytest.raises(APIError) as caught:
        await speak(models, http)
    assert PLANTED not in f"{caught.value} {caught.value!r} {caught.value.body}"
    return caught.value


async def test_speaks_what_the_server_streams(models: Models, http: aiohttp.ClientSession) -> None:
    models.tone_seconds = SECONDS
    assert await speak(models, http) == pytest.approx(SECONDS, abs=0.001)
    assert models.requests == [
        {
            "input": f"Ihr {PLANTED}.",
            "voice": "de_female",
            "response_format": "pcm",
            "stream": True,
            "stream_format": "audio",
        }
    ]


async def test_first_audio_does_not_wait_for_the_rest(models: Models, http: aiohttp.ClientSession) -> None:
    models.tone_seconds = SECONDS
    models.second_chunk.clear()
    voice = VllmOmniTTS(models.tts_url, "de_female", http=http)
    async with voice.synthesize("Guten Tag.", conn_options=ONCE) as stream:
        # the server holds everything after its first chunk back until the first frame is here
        first = await asyncio.wait_for(anext(aiter(stream)), 5)
        assert first.frame.duration > 0
        models.second_chunk.set()


@pytest.mark.parametrize("content_type", ["application/json", "audio/pcm"])
async def test_json_under_200_is_an_error(models: Models, http: aiohttp.ClientSession, content_type: str) -> None:
    error = {"message": f"bad input: {PLANTED}", "type": "BadRequestError", "code": 400}
    body = json.dumps({"error": error}, separators=(",", ":"))
    models.misbehave = answering(text=body, content_type=content_type)
    raised = await refused(models, http)
    assert isinstance(raised, APIStatusError)
    assert raised.status_code == 400
    assert not raised.retryable
    assert "answered 200" in str(raised)


@pytest.mark.parametrize(
    ("status", "text", "said", "retryable"),
    [(400, f"Invalid speaker for {PLANTED}", "TTS_VOICE", False), (503, "busy", "answered 503", True)],
)
async def test_a_servers_error_may_be_retried_and_an_unknown_voice_not(
    models: Models, http: aiohttp.ClientSession, status: int, text: str, said: str, retryable: bool
) -> None:
    models.misbehave = answering(status=status, text=text)
    error = await refused(models, http)
    assert error.retryable is retryable
    assert said in str(error)


@pytest.mark.parametrize("audio", [b"", b"\x00", b"\x00" * 900])
async def test_no_speech_is_an_error_of_ours(models: Models, http: aiohttp.ClientSession, audio: bytes) -> None:
    models.misbehave = answering(body=audio, content_type="audio/pcm")
    assert "no speech" in str(await refused(models, http))


async def test_a_cut_stream_is_an_error(models: Models, http: aiohttp.ClientSession) -> None:
    async def cut(request: web.Request) -> None:
        assert request.transport
        request.transport.abort()

    models.misbehave = streaming(bytes(9600), content_type="audio/pcm", then=cut)
    assert isinstance(await refused(models, http), APIConnectionError)


async def test_nobody_there(models: Models, http: aiohttp.ClientSession) -> None:
    await models.stop("tts")
    assert isinstance(await refused(models, http), APIConnectionError)
