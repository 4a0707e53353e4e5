"""The stack's own mouth and ear: Voxtral speaks the questions, Whisper writes down what was heard."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import aiohttp  # type: ignore[import-not-found,unused-ignore]
from livekit import rtc

from on_host.verify.checking import FailureError
from on_host.verify.sound import RATE, seconds, trimmed

SPEECH_S = 60
WHISPER_RATE = 16_000
SHORTEST_S = 0.3


async def spoken(text: str, tts: dict[str, str]) -> bytes:
    """The text as speech, without the silence around it.

    Raises:
        FailureError: if what comes is not speech; 0.18 may send an error as JSON with status 200.
    """
    wanted = {"model": tts["model"], "input": text, "voice": tts["voice"], "response_format": "pcm"}
    timeout = aiohttp.ClientTimeout(total=SPEECH_S)
    url = f"{tts['url']}/v1/audio/speech"
    cause = "vllm-voxtral does not speak: read its log"
    try:
        async with aiohttp.ClientSession(timeout=timeout) as http, http.post(url, json=wanted) as answer:
            body, status, kind = await answer.read(), answer.status, answer.content_type
    except aiohttp.ClientError as error:
        raise FailureError(f"vllm-voxtral gave no answer ({type(error).__name__})", cause) from None
    if status != 200:
        raise FailureError(f"vllm-voxtral answered with {status}", cause)
    if not kind.startswith("audio/") or body.startswith(b"{"):
        raise FailureError(f"vllm-voxtral answered 200 with {kind} that is not audio", cause)
    audible = trimmed(body)
    if seconds(audible) < SHORTEST_S:
        raise FailureError(f"vllm-voxtral sent {seconds(audible):.1f} s of audible speech", cause)
    return audible


def written_down(sounds: Iterable[bytes], weights: str, language: str) -> list[str]:
    """The words of 24 kHz speech, by Whisper; loaded after the call, so that it takes nothing from it."""
    import faster_whisper  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - seconds, not always
    import numpy as np  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    model: Any = faster_whisper.WhisperModel(weights, device="cpu", compute_type="int8", local_files_only=True)
    # Whisper mishears words that begin with the first sample.
    silence = np.zeros(WHISPER_RATE // 2, dtype=np.int16)
    texts = []
    for pcm in sounds:
        # Not faster-whisper's own decoder: 1.2.1 does not work with PyAV 19.
        resampler = rtc.AudioResampler(RATE, WHISPER_RATE)
        pieces = [*resampler.push(bytearray(pcm)), *resampler.flush()]
        heard = [np.frombuffer(piece.data, dtype=np.int16) for piece in pieces]
        samples = np.concatenate([silence, *heard, silence]).astype(np.float32) / 32768
        found, _ = model.transcribe(samples, language=language, beam_size=5, condition_on_previous_text=False)
        texts.append(" ".join(segment.text.strip() for segment in found))
    return texts
