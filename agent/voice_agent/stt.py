"""Speech recognition as the framework sees it: whole utterances, sent to the main process's Whisper."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from livekit import rtc
from livekit.agents import APIConnectOptions, stt
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, NotGivenOr
from livekit.agents.utils import AudioBuffer

from . import patience
from .backstage import Backstage, BackstageError

SAMPLE_RATE = 16_000


class SharedWhisper(stt.STT):  # type: ignore[misc,unused-ignore]
    """One call's way to the Whisper that all calls share.

    An error is told to `failed` and then hidden from the framework, which would end recognition for the rest of the
    call at the first one.
    """

    def __init__(self, backstage: Backstage, language: str, failed: Callable[[str], None]) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=False, interim_results=False))
        self._backstage = backstage
        self._language = language
        self._failed = failed

    async def _recognize_impl(
        self,
        buffer: AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.SpeechEvent:
        frame = rtc.combine_audio_frames(buffer)
        if frame.sample_rate != SAMPLE_RATE or frame.num_channels != 1:
            raise ValueError(f"{frame.sample_rate} Hz, {frame.num_channels} channels; Whisper hears 16 kHz mono")
        event = stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, request_id=uuid.uuid4().hex)
        try:
            # waiting for other calls' utterances included; there is no retry
            text = await self._backstage.transcribe(frame.data.tobytes(), patience.LEG)
        except BackstageError as error:
            self._failed(str(error))
        else:
            event.alternatives.append(stt.SpeechData(language=self._language, text=text))  # type: ignore[arg-type,unused-ignore]
        return event
