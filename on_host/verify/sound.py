"""Speech as 24 kHz mono PCM16 (Voxtral's own form): loudness, trimming, WAV. Pure; standard library only."""

from __future__ import annotations

import array
import io
import math
import wave

RATE = 24_000
FRAME_SAMPLES = RATE // 100
FRAME_BYTES = 2 * FRAME_SAMPLES
SILENCE = bytes(FRAME_BYTES)
AUDIBLE_RMS = 300.0
"""Of a 10 ms frame: well above what codecs make of silence (below 10), well below speech (1000 and more)."""


def loudness(pcm: bytes) -> float:
    """The root mean square of the samples."""
    samples = array.array("h", pcm[: len(pcm) - len(pcm) % 2])
    return math.sqrt(sum(sample * sample for sample in samples) / len(samples)) if samples else 0.0


def frames(pcm: bytes) -> list[bytes]:
    """The samples in 10 ms frames, the last one filled up with silence."""
    pieces = [pcm[start : start + FRAME_BYTES] for start in range(0, len(pcm), FRAME_BYTES)]
    return [piece.ljust(FRAME_BYTES, b"\0") for piece in pieces]


def trimmed(pcm: bytes) -> bytes:
    """From the first to the last audible frame; without them the end of speech would be nobody's guess."""
    pieces = frames(pcm)
    audible = [number for number, piece in enumerate(pieces) if loudness(piece) >= AUDIBLE_RMS]
    return b"".join(pieces[audible[0] : audible[-1] + 1]) if audible else b""


def seconds(pcm: bytes) -> float:
    """How long it lasts."""
    return len(pcm) / 2 / RATE


def to_wav(pcm: bytes) -> bytes:
    """A WAV file around the samples."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(pcm)
    return buffer.getvalue()


def from_wav(content: bytes) -> bytes:
    """The samples of a WAV file as 24 kHz mono.

    Raises:
        ValueError: if it is not a WAV file of 16 bit PCM.
    """
    try:
        with wave.open(io.BytesIO(content)) as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            samples = array.array("h", file.readframes(file.getnframes())) if width == 2 else None
    except (wave.Error, EOFError) as error:
        raise ValueError(f"not a WAV file: {error}") from error
    if samples is None:
        raise ValueError(f"a WAV file of {8 * width} bit; 16 bit PCM is needed")
    return _resampled(samples[::channels], rate).tobytes()


def _resampled(samples: array.array[int], rate: int) -> array.array[int]:
    """Linear interpolation: good enough for a question that goes through a telephone's bandwidth anyway."""
    if rate == RATE or not samples:
        return samples
    last = len(samples) - 1
    out = array.array("h")
    for index in range(len(samples) * RATE // rate):
        whole, part = divmod(index * rate, RATE)
        left, right = samples[min(whole, last)], samples[min(whole + 1, last)]
        out.append(left + (right - left) * part // RATE)
    return out
