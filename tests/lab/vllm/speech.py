"""Speech from espeak-ng, as Voxtral's audio leaves the server: 24 kHz, mono, 16 bit."""

from __future__ import annotations

import array
import io
import subprocess
import wave
from collections.abc import Iterator

from .resample import PEAK, RATE, length, resampled
from .stages import Chunks

_ESPEAK_HEADER = 44
_WORDS_A_MINUTE = 145
"""Slower than espeak-ng's own 175: Whisper tiny.en then mishears half as many words."""
_SAMPLES_PER_FRAME = RATE * 2 // 25
"""The codec makes 12.5 frames a second."""
_ESPEAK_LANGUAGES = {"de", "fr", "es", "it", "pt", "nl", "ar", "hi"}


def _espeak_voice(voice: str) -> str:
    """de_female -> de+f2; the voices without a language are English."""
    language, _, rest = voice.partition("_")
    if language not in _ESPEAK_LANGUAGES:
        language, rest = "en", rest or voice
    return f"{language}+f2" if rest == "female" else language


def _spoken(text: str, voice: str, speed: float) -> array.array[int]:
    """espeak-ng's samples at its own rate."""
    command = [
        "espeak-ng",
        "-v",
        _espeak_voice(voice),
        "-s",
        str(round(_WORDS_A_MINUTE * speed)),
        "--stdout",
        "--stdin",
    ]
    output = subprocess.run(command, input=text.encode(), capture_output=True, check=True).stdout
    samples = array.array("h")
    samples.frombytes(output[_ESPEAK_HEADER : len(output) - len(output) % 2])
    return samples


def _quiet_enough(source: array.array[int]) -> array.array[int]:
    """Turned down to what the filter takes, if it is louder."""
    loudest = max(map(abs, source), default=0)
    return source if loudest <= PEAK else array.array("h", [sample * PEAK // loudest for sample in source])


def pieces(text: str, voice: str, chunks: Chunks, speed: float = 1.0) -> Iterator[bytes]:
    """PCM in the pieces in which the real server streams it."""
    source = _quiet_enough(_spoken(text, voice, speed))
    total = length(len(source))
    start = 0
    for frames in chunks.ends(-(-total // _SAMPLES_PER_FRAME)):
        end = frames * _SAMPLES_PER_FRAME
        # the codec makes whole frames
        yield resampled(source, start, min(end, total)).tobytes().ljust((end - start) * 2, b"\0")
        start = end


def wav(pcm: bytes) -> bytes:
    """A complete WAV file around the samples."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm)
    return buffer.getvalue()
