"""No leg of a turn leaves the caller in silence for longer than patience.py says: each hangs here, at a tenth of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from livekit import rtc
from livekit.agents import APIConnectOptions, APITimeoutError
from voice_agent import backstage, patience
from voice_agent.environment import SettingsError
from voice_agent.session import CONNECT
from voice_agent.stt import SAMPLE_RATE, SharedWhisper
from voice_agent.tts import VllmOmniTTS

from models import Models, hang, streaming
from stands import Stage

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("pieces", [(), (bytes(9600),)], ids=["at once", "in the middle"])
async def test_speech_that_hangs(
    models: Models, http: aiohttp.ClientSession, hurried: APIConnectOptions, pieces: tuple[bytes, ...]
) -> None:
    models.misbehave = streaming(*pieces, content_type="audio/pcm", then=hang)
    voice = VllmOmniTTS(models.tts_url, "de_female", http=http)
    with pytest.raises(APITimeoutError):
        await voice.synthesize("Guten Tag.", conn_options=hurried).collect()
    assert len(models.requests) == 2


async def test_speech_may_last_longer_than_a_leg(
    models: Models, http: aiohttp.ClientSession, hurried: APIConnectOptions
) -> None:
    """What is bounded is the silence between two pieces."""

    async def slowly(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
        await response.prepare(request)
        for _ in range(6):
            await response.write(bytes(9600))
            await asyncio.sleep(hurried.timeout / 2)
        return response

    models.misbehave = slowly
    voice = VllmOmniTTS(models.tts_url, "de_female", http=http)
    frame = await voice.synthesize("Guten Tag.", conn_options=hurried).collect()
    assert frame.duration == pytest.approx(6 * 0.2, abs=0.05)
    assert len(models.requests) == 1


async def test_recognition_that_hangs(tmp_path: Path, hurried: APIConnectOptions) -> None:
    app, failures = web.Application(), list[str]()
    app.router.add_post("/transcribe", streaming(then=hang))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "socket")).start()
    main = backstage.Backstage(str(tmp_path / "socket"))
    whisper = SharedWhisper(main, "en", failures.append)
    await whisper.recognize(rtc.AudioFrame.create(SAMPLE_RATE, 1, SAMPLE_RATE), conn_options=hurried)
    assert failures == ["unreachable"]
    await main.close()
    await runner.cleanup()


def test_what_ships_adds_up(tmp_path: Path) -> None:
    assert patience.LONGEST_SILENCE == 10
    pauses = sum(CONNECT._interval_for_retry(number) for number in range(CONNECT.max_retry))
    # speech, and each attempt at the model, fit with their retries into a leg
    assert (CONNECT.max_retry + 1) * CONNECT.timeout + pauses <= patience.LEG
    # after which the apology is heard
    assert patience.LEG + patience.APOLOGY <= patience.LONGEST_SILENCE
    # and the guard may not be given longer
    stage = Stage(tmp_path)
    stage.models.reserve()
    assert stage.settings(GUARD_DEADLINE_MS="9000").guard_deadline_ms == 1000 * patience.LEG
    with pytest.raises(SettingsError, match="GUARD_DEADLINE_MS"):
        stage.settings(GUARD_DEADLINE_MS="9001")
