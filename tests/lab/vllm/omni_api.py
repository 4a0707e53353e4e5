"""vLLM-Omni's speech routes, with the checks of its serving_speech.py."""

from __future__ import annotations

import base64
import json
import threading
from typing import Any

from . import speech
from .refusals import ApiError, between, check, integer, one_of, refusal, text, too_long, value_error
from .report import log, logs_what_is_spoken
from .server import ApiServer, Front, Handler
from .stages import Chunks

_FIELDS = {
    **dict.fromkeys(("input", "model", "voice", "ref_audio", "instructions"), text),
    "response_format": one_of("wav", "pcm", "flac", "mp3", "aac", "opus"),
    "speed": between(0.25, 4.0),
    "stream_format": one_of("sse", "audio"),
    "max_new_tokens": integer,
}
_VOICE_TOKENS = 70
"""About what a voice and the special tokens take of a prompt."""


class OmniServer(ApiServer):
    """The speech model's voices, how many requests run at once, and the pieces that it streams."""

    def __init__(self, front: Front, length: int, voices: dict[str, bool], sequences: int, chunks: Chunks) -> None:
        super().__init__(front, OmniHandler, length)
        self.voices = voices
        self.turns = threading.BoundedSemaphore(sequences)
        self.chunks = chunks


class OmniHandler(Handler):
    """The speech routes."""

    routes = Handler.routes | {"/v1/audio/speech", "/v1/audio/voices"}
    server: OmniServer

    def get(self) -> None:
        """The voices, and the shared routes."""
        if self.path == "/v1/audio/voices":
            self.send_json({"voices": sorted(self.server.voices), "uploaded_voices": []})
        else:
            super().get()

    def post(self) -> None:
        """POST /v1/audio/speech."""
        if self.path != "/v1/audio/speech":
            super().post()
            return
        request = self.body()
        check_fields(request)
        self.check_model(request.get("model"))
        voice = check_speech(request, self.server.voices)
        prompt = _VOICE_TOKENS + len(request["input"]) // 4
        if prompt > self.server.length:
            raise too_long(self.server.length, 0, str(prompt), str(prompt), prompt)
        with self.server.turns:
            if not self.fault():
                self._speak(request, voice)
        self.server.requests += 1

    def _speak(self, request: dict[str, Any], voice: str) -> None:
        """The audio itself."""
        words, speed = request["input"], float(request.get("speed") or 1.0)
        if logs_what_is_spoken():
            log(
                "serving_speech.py:1241",
                f"TTS speech request: text={words[:50]!r}, model=voxtral_tts",
                process="APIServer",
            )
        if not self.server.voices[voice]:
            log("voxtral_tts.py:402", f"KeyError: {voice!r}", level="ERROR")
            raise ApiError(
                "Speech generation failed: EngineCore encountered an issue. See stack trace (above) for the root cause."
            )
        shape = request.get("response_format", "wav")
        pieces = speech.pieces(words, voice, self.server.chunks, speed)
        if request.get("stream"):
            if request.get("stream_format") != "audio":
                self.send_pieces(map(_event, pieces), "text/event-stream; charset=utf-8")
            elif shape == "wav":
                self._fail_wav_stream()
            else:
                self.send_pieces(pieces, "audio/pcm")
            return
        pcm = b"".join(pieces)
        if shape == "pcm":
            self.send_body(pcm, "audio/pcm")
        else:
            self.send_body(speech.wav(pcm), "audio/wav")

    def _fail_wav_stream(self) -> None:
        """0.18: the answer has begun with 200 when the assertion ends it, so the client sees a broken body."""
        log(
            "serving_speech.py:988",
            "Streaming speech generation failed: AssertionError: First audio chunk must include sample rate "
            "metadata for WAV streaming",
            process="APIServer",
            level="ERROR",
        )
        self.send_response(200)
        self.send_header("Content-Type", "audio/wav")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True


def _event(piece: bytes) -> bytes:
    """What 0.26 and later stream to who does not ask for audio; here 0.18 does, so that a client must ask."""
    data = json.dumps({"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()})
    return f"event: speech.audio.delta\ndata: {data}\n\n".encode()


def check_fields(request: dict[str, Any]) -> None:
    """What the request's schema refuses (protocol/audio.py)."""
    check(request, "input", _FIELDS)
    if request.get("stream_format") == "sse":
        message = "'sse' is not a supported stream_format yet. Please use 'audio'."
        raise refusal(value_error(message, "sse", "stream_format"))
    shape = request.get("response_format", "wav")
    if request.get("stream") and shape not in {"pcm", "wav"}:
        needed = "Streaming (stream=true) requires response_format='pcm' or 'wav'."
        raise refusal(value_error(f"{needed} Got response_format='{shape}'.", request))
    if request.get("stream") and request.get("speed") not in {None, 1.0}:
        needed = "Speed adjustment is not supported when streaming (stream=true)."
        raise refusal(value_error(f"{needed} Set speed=1.0 or omit it.", request))
    if shape not in {"wav", "pcm"}:
        raise ApiError("Unknown format: 'AAC'" if shape == "aac" else f"The lab's stand-in does not speak {shape}")


def check_speech(request: dict[str, Any], voices: dict[str, bool]) -> str:
    """What serving_speech.py refuses; the voice's name."""
    if not request["input"].strip():
        raise ApiError("Input text cannot be empty")
    voice, reference = request.get("voice"), request.get("ref_audio")
    if reference is not None and not reference.startswith(("http://", "https://", "data:", "file://")):
        raise ApiError("ref_audio must be a URL (http/https), base64 data URL (data:...), or file URI (file://...)")
    if voice is None:
        raise ApiError("Either 'voice' (preset speaker) or 'ref_audio' (voice cloning) must be provided")
    voice = str(voice).lower()
    if voice not in voices:
        raise ApiError(f"Invalid speaker '{voice}'. Supported: {', '.join(sorted(voices))}")
    tokens = request.get("max_new_tokens")
    if tokens is not None and tokens < 1:
        raise ApiError("max_new_tokens must be at least 1")
    if tokens is not None and tokens > 4096:
        raise ApiError("max_new_tokens cannot exceed 4096")
    return voice
