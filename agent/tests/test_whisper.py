from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from livekit import rtc
from livekit.agents.utils import AudioBuffer
from voice_agent import backstage
from voice_agent.metrics import Metrics
from voice_agent.stt import SharedWhisper
from voice_agent.whisper import Whisper, WhisperError

from speech import HEARING_RATE, RATE, WEIGHTS, overlap, spoken

pytestmark = pytest.mark.anyio
QUESTION = "Where does the elephant live in winter?"


def heard_at_16k(words: str) -> bytes:
    samples = np.frombuffer(spoken(words), dtype=np.int16)
    times = np.arange(0, len(samples) / RATE, 1 / HEARING_RATE)
    return np.interp(times, np.arange(len(samples)) / RATE, samples).astype(np.int16).tobytes()


def utterance(pcm: bytes) -> AudioBuffer:
    return rtc.AudioFrame(pcm, HEARING_RATE, 1, len(pcm) // 2)


async def test_calls_share_one_model_and_are_served_in_turn() -> None:
    whisper = Whisper(WEIGHTS, "cpu", 1, "en")
    assert whisper.problem() == "loading"
    await whisper.load()
    assert whisper.problem() is None
    failures: list[str] = []
    async with backstage.serve(whisper, Metrics(lambda: 0)):
        ends = [backstage.Backstage(os.environ[backstage.VARIABLE]) for _ in range(3)]
        order: list[int] = []

        async def recognise(number: int) -> str:
            stt = SharedWhisper(ends[number], "en", failures.append)
            event = await stt.recognize(utterance(heard_at_16k(QUESTION)))
            order.append(number)
            return event.alternatives[0].text

        tasks = []
        for number in range(3):
            tasks.append(asyncio.create_task(recognise(number)))
            await asyncio.sleep(0.05)
        for text in await asyncio.gather(*tasks):
            assert overlap(QUESTION, text) > 0.7
        assert order == [0, 1, 2]
        await asyncio.gather(*(end.close() for end in ends))
    assert failures == []
    whisper.close()


async def test_a_failure_is_told_and_the_call_goes_on() -> None:
    whisper = Whisper(WEIGHTS, "cpu", 1, "en")
    failures: list[str] = []
    async with backstage.serve(whisper, Metrics(lambda: 0)):
        end = backstage.Backstage(os.environ[backstage.VARIABLE])
        stt = SharedWhisper(end, "en", failures.append)
        # not loaded
        event = await stt.recognize(utterance(bytes(32_000)))
        assert event.alternatives == []
        assert failures == ["failed"]
        await end.close()
    gone = backstage.Backstage("/nonexistent")
    await SharedWhisper(gone, "en", failures.append).recognize(utterance(bytes(32_000)))
    assert failures == ["failed", "unreachable"]
    await gone.close()
    whisper.close()


async def test_damaged_weights_are_an_error_and_no_download(tmp_path: Path) -> None:
    directory = tmp_path / "weights"
    shutil.copytree(WEIGHTS, directory)
    (directory / "model.bin").write_bytes(b"half")
    whisper = Whisper(directory, "cpu", 1, "en")
    with pytest.raises(WhisperError, match=str(directory)):
        await whisper.load()
    assert whisper.problem() == "cannot load (RuntimeError)"
    whisper.close()
