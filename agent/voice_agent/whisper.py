"""Speech recognition in the main process: one faster-whisper model for all calls (README.md says why)."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np  # type: ignore[import-not-found,unused-ignore]

SAMPLE_RATE = 16_000
# int8 on a CPU; on the card, which Voxtral and the guard share, weights in int8 and arithmetic in float16.
COMPUTE_TYPES = {"cpu": "int8", "cuda": "int8_float16"}
# Greedy. For tiny.en a beam of five made no difference in time or words (0.7 to 0.9 s for 2 s of speech either way: the
# encoder, which always works on 30 s, takes nearly all of it); a large model's decoder would cost more. The second
# temperature is tried only when the first gives a repetition or improbable words; the default has six.
BEAM = 1
TEMPERATURES = (0.0, 0.4)
# A recognition that runs longer than this is stuck: VAD hands over at most a minute of speech.
STUCK_SECONDS = 60.0


class WhisperError(Exception):
    """The model cannot be used; the text says why and holds nothing a caller said."""


class Whisper:
    """The model, and who is waiting for it."""

    def __init__(self, directory: Path, device: str, threads: int, language: str) -> None:
        self._directory = directory
        self._device = device
        self._threads = threads
        self._language = language
        self._model: Any = None
        self._failed: str | None = None
        self._busy_since: float | None = None
        # One thread: requests are served in the order they came. A call has at most one request under way, so
        # this is also fair between calls.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="whisper")

    async def load(self) -> None:
        """Load the weights and recognise a second of silence, so that "loaded" means "works"."""
        try:
            self._model = await asyncio.get_running_loop().run_in_executor(self._thread, self._open)
        except Exception as error:
            self._failed = f"cannot load ({type(error).__name__})"
            # said in full: the texts of these errors are about files, devices and libraries
            raise WhisperError(f"{self._directory} on {self._device}: {error}") from None

    async def transcribe(self, pcm: bytes) -> str:
        """The words in 16 kHz mono s16le audio; waits its turn."""
        if self._model is None:
            raise WhisperError("not loaded")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._recognise, self._model, pcm)

    def problem(self) -> str | None:
        """Say why speech is not recognised now, or None."""
        since = self._busy_since
        if self._model is None:
            return self._failed or "loading"
        if since is not None and (seconds := time.monotonic() - since) > STUCK_SECONDS:
            return f"no answer for {seconds:.0f} s"
        return self._failed

    def close(self) -> None:
        """Let the thread end when its work is done; what waits is dropped."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _open(self) -> Any:
        from faster_whisper import WhisperModel  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

        model = WhisperModel(
            str(self._directory),
            device=self._device,
            compute_type=COMPUTE_TYPES[self._device],
            cpu_threads=self._threads,
            num_workers=1,
            local_files_only=True,
        )
        if self._language != "en" and not model.model.is_multilingual:
            raise ValueError(f"the weights know English only, and AGENT_LANGUAGE is {self._language}")
        self._recognise(model, bytes(2 * SAMPLE_RATE))
        return model

    def _recognise(self, model: Any, pcm: bytes) -> str:
        self._busy_since = time.monotonic()
        try:
            samples = np.frombuffer(pcm, dtype=np.int16).astype(np.float32) / 32768.0
            segments, _ = model.transcribe(
                samples,
                language=self._language,
                beam_size=BEAM,
                temperature=TEMPERATURES,
                # each request is a whole utterance; earlier ones would only invite repetitions
                condition_on_previous_text=False,
                without_timestamps=True,
                vad_filter=False,  # the framework's VAD cut it out already
            )
            words = " ".join(segment.text.strip() for segment in segments).strip()
        except Exception as error:
            self._failed = f"failed ({type(error).__name__})"
            raise
        else:
            self._failed = None
            return words
        finally:
            self._busy_since = None
