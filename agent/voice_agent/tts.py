"""Speech from vLLM-Omni's `/v1/audio/speech`, as it streams.

The stock OpenAI plugin does not fit vLLM-Omni 0.18 (it asks for `stream_format: sse`, which releases before 0.26
refuse, and never sends `stream`). Streaming works with raw PCM only. Nothing here, error texts included, repeats
what is spoken: an `APIError` ends up in logs, so it carries no body, and short audio is caught here because
the framework's own error for it quotes the text.
"""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import AsyncIterator

import aiohttp  # type: ignore[import-not-found,unused-ignore]
from livekit.agents import APIConnectionError, APIConnectOptions, APIError, APIStatusError, APITimeoutError, tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

SAMPLE_RATE = 24_000
BYTES_PER_SAMPLE = 2
# Less than 20 ms is no speech; the engine ends a failed generation with an empty body and status 200.
LEAST_AUDIO = SAMPLE_RATE * BYTES_PER_SAMPLE // 50
# 0.18 may put an error where the audio should be, under status 200 and even under the audio's content type.
ERROR_BODY = b'{"error"'

logger = logging.getLogger("voice_agent.tts")


class NoSpeechError(APIError):  # type: ignore[misc,unused-ignore]
    """An answer that began as audio and held none."""


class NotAudioError(APIStatusError):  # type: ignore[misc,unused-ignore]
    """A good status, and no audio under it."""


def kind(error: BaseException) -> str:
    """One of `metrics.KINDS["tts"]` for a failed synthesis; the framework wraps what it gave up retrying."""
    kinds = (
        (NotAudioError, "not audio"),
        (NoSpeechError, "no speech"),
        (APITimeoutError, "timeout"),
        (APIStatusError, "refused"),
    )
    root = error.__cause__ or error
    for class_, name in kinds:
        if isinstance(root, class_):
            return name
    return "unreachable" if isinstance(root, APIConnectionError) else "failed"


class VllmOmniTTS(tts.TTS):  # type: ignore[misc,type-arg,unused-ignore]
    """One voice of one vLLM-Omni server."""

    def __init__(self, url: str, voice: str, model: str = "", *, http: aiohttp.ClientSession) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=SAMPLE_RATE, num_channels=1)
        self._endpoint = f"{url}/v1/audio/speech"
        # stream_format: without it 0.26 and later stream events for a browser; 0.18 to 0.22 know the word, too.
        self._request = {"voice": voice, "response_format": "pcm", "stream": True, "stream_format": "audio"}
        if model:
            self._request["model"] = model
        self._http = http

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        """Start speaking `text`."""
        return _Speech(self, text, conn_options)

    def request(self, text: str) -> aiohttp.client._RequestContextManager:
        """Open the request for one text."""
        return self._http.post(self._endpoint, json={"input": text, **self._request})


class _Speech(tts.ChunkedStream):  # type: ignore[misc,unused-ignore]
    """The audio of one text."""

    def __init__(self, voice: VllmOmniTTS, text: str, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=voice, input_text=text, conn_options=conn_options)
        self._voice = voice

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        try:
            await self._speak(output_emitter)
        except APIError as error:
            # Said here because job logs drop the texts of exceptions, and these are known to be harmless.
            logger.warning("%s", error.message)
            raise

    async def _speak(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id=uuid.uuid4().hex, sample_rate=SAMPLE_RATE, num_channels=1, mime_type="audio/pcm"
        )
        received = 0
        clock, seconds = asyncio.get_running_loop().time, self._conn_options.timeout
        try:
            # until the first chunk, connecting included, and then between two of them
            async with asyncio.timeout(seconds) as silence, self._voice.request(self._input_text) as response:
                async for chunk in _audio(response):
                    silence.reschedule(clock() + seconds)
                    received += len(chunk)
                    output_emitter.push(chunk)
        except asyncio.TimeoutError:
            raise APITimeoutError("speech synthesis timed out") from None
        except aiohttp.ClientError as error:
            raise APIConnectionError(f"speech synthesis failed: {type(error).__name__}") from None
        if received < LEAST_AUDIO:
            raise NoSpeechError(f"speech synthesis returned {received} bytes, which is no speech")


async def _audio(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The chunks of a good answer as they arrive; any other answer is an error."""
    if response.status != 200 or not response.content_type.startswith("audio/"):
        raise _refusal(response.status, response.content_type, await response.content.read(4096))
    first = True
    async for chunk in response.content.iter_any():
        if first and chunk.startswith(ERROR_BODY):
            raise _refusal(response.status, response.content_type, chunk)
        first = False
        yield chunk


def _refusal(status: int, content_type: str, body: bytes) -> APIStatusError:
    """An error that names the status, and the code inside a JSON body, but none of its text."""
    found = re.search(rb'"code":\s*([1-5]\d\d)\b', body)
    code = int(found[1]) if found else None
    effective = status if status != 200 else code or 500
    inside = f", error code {code} inside" if code else ""
    hint = "; check TTS_VOICE and the server's log" if 400 <= effective < 500 else ""
    class_ = NotAudioError if status == 200 else APIStatusError
    return class_(f"speech synthesis answered {status} with {content_type}{inside}{hint}", status_code=effective)
