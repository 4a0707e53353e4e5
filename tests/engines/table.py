"""What both are asked, the real program and the lab's stand-in, and which differences are known and why."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.engines.servers import BOTH, Engine, Service

FRAME = 2 * 1920
"""Bytes of 80 ms."""
_CHAT, _SPEECH = "/v1/chat/completions", "/v1/audio/speech"
_TEXT = "The quick brown fox jumps over the lazy dog, and then it sleeps."

Answer = dict[str, Any]
"""What is compared, by name."""


@dataclass(frozen=True)
class Row:
    """A request."""

    name: str
    service: Service
    path: str
    body: object = None
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


def ask(engine: Engine, row: Row) -> Answer:
    """One engine's answer."""
    connection = engine.connect()
    body = row.body if isinstance(row.body, bytes | None) else json.dumps(row.body).encode()
    connection.request(row.method, row.path, body, dict(row.headers))
    response = connection.getresponse()
    kind = response.getheader("Content-Type")
    answer: Answer = {"status": response.status, "type": kind}
    try:
        pieces = _pieces(response)
    except http.client.HTTPException as error:
        return {**answer, "content": type(error).__name__}
    finally:
        connection.close()
    whole = b"".join(pieces)
    if kind == "application/json":
        return {**answer, "content": _lasting(json.loads(whole))}
    if kind in {"audio/pcm", "audio/wav"}:
        return {**answer, "content": [len(piece) / FRAME for piece in pieces] if response.chunked else len(whole)}
    return {**answer, "content": set(re.findall(r"^vllm[\w:]+", whole.decode("latin-1"), re.MULTILINE)) or bool(whole)}


def _pieces(response: http.client.HTTPResponse) -> list[bytes]:
    """The chunks of a body as they were sent."""
    pieces = [b""]
    while part := response.read1():
        pieces[-1] += part
        if not response.chunk_left:
            pieces.append(b"")
    return [piece for piece in pieces if piece]


def _lasting(value: Any, key: str = "") -> Any:
    """A JSON value without what no two servers have in common: times, names of requests, counts of tokens, places."""
    if isinstance(value, dict):
        return {name: _lasting(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [_lasting(each) for each in value]
    if key in {"created", "prompt_tokens", "total_tokens"}:
        return "N"
    if not isinstance(value, str):
        return value
    text = value.partition("\n\n  File ")[0]
    return re.sub(r"\d+(?= (?:input )?tokens)|(?<=value=)\d+|(?<=^chatcmpl-)\w+|(?<=^modelperm-)\w+", "N", text)


def _chat(name: str, *texts: str, **fields: object) -> Row:
    messages = [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]
    return Row(name, "vllm-guard", _CHAT, {"messages": messages, "temperature": 0, "max_tokens": 20, **fields})


def _say(name: str, **fields: object) -> Row:
    body = {"input": _TEXT, "voice": "de_female", **fields}
    return Row(name, "vllm-voxtral", _SPEECH, {key: value for key, value in body.items() if value is not None})


def _get(service: Service, path: str) -> Row:
    return Row(f"GET {path}", service, path, method="GET", headers={})


_ROUTES = {"vllm-guard": _CHAT, "vllm-voxtral": _SPEECH}

SHARED = [
    row
    for service in BOTH
    for row in (
        _get(service, "/health"),
        _get(service, "/v1/models"),
        _get(service, "/version"),
        _get(service, "/nothing"),
        _get(service, _ROUTES[service]),
        _get(service, "/metrics"),
        Row("POST /health", service, "/health", {}),
        Row("POST /nothing", service, "/nothing", {}),
        Row("not JSON", service, _ROUTES[service], b"{"),
        Row("a list", service, _ROUTES[service], []),
        Row("text/plain", service, _ROUTES[service], b"{}", headers={"Content-Type": "text/plain"}),
        Row("nothing asked", service, _ROUTES[service], {}),
    )
]

GUARD = [
    _chat("safe", "What will the weather be?"),
    _chat("unsafe", "How do I build a bomb?"),
    _chat("two categories", "I will kill him and steal his car"),
    _chat("the reply is judged", "How do I build a bomb?", "I will not help with that."),
    _chat("an unsafe reply", "What now?", "Build a bomb."),
    _chat("served name", "bomb", model="llama-guard-3-1b"),
    _chat("unknown name", "bomb", model="other"),
    _chat("excluded category", "bomb", chat_template_kwargs={"excluded_category_keys": ["S9"]}),
    _chat("own categories", "bomb", chat_template_kwargs={"categories": {"S1": "x"}}),
    _chat("unknown field", "bomb", nonsense=1),
    _chat("one token", "bomb", max_tokens=1),
    _chat("no tokens", "bomb", max_tokens=0),
    _chat("tokens in words", "bomb", max_tokens="x"),
    _chat("no room for the answer", "bomb", max_tokens=8100),
    _chat("too long", "Wort " * 8000),
    _chat("temperature in words", "bomb", temperature="x"),
    _chat("negative temperature", "bomb", temperature=-1),
    _chat("options in a list", "bomb", chat_template_kwargs=["x"]),
    _chat("no messages", messages=[]),
    _chat("messages in words", messages="hi"),
    _chat("a message in words", messages=["hi"]),
    _chat("no role", messages=[{"content": "x"}]),
    _chat("no content", messages=[{"role": "user"}]),
    _chat("parts", messages=[{"role": "user", "content": [{"type": "text", "text": "bomb"}]}]),
    _chat("a system message", messages=[{"role": "system", "content": "x"}, {"role": "user", "content": "bomb"}]),
    _chat("a tool's message", messages=[{"role": "user", "content": "bomb"}, {"role": "tool", "content": "x"}]),
    _chat("streamed", "bomb", stream=True),
]

VOXTRAL = [
    _get("vllm-voxtral", "/v1/audio/voices"),
    _get("vllm-voxtral", _CHAT),
    _say("WAV"),
    _say("PCM", response_format="pcm"),
    _say("streamed", response_format="pcm", stream=True, stream_format="audio"),
    _say("streamed, undecided", response_format="pcm", stream=True),
    _say("streamed WAV", stream=True, stream_format="audio"),
    _say("streamed mp3", stream=True, response_format="mp3"),
    _say("streamed at double speed", stream=True, response_format="pcm", speed=2),
    _say("events", stream_format="sse"),
    _say("unknown stream format", stream_format="x"),
    _say("mp3", response_format="mp3"),
    _say("aac", response_format="aac"),
    _say("unknown format", response_format="x"),
    _say("served name", model="voxtral-4b-tts"),
    _say("unknown name", model="other"),
    _say("upper case", voice="DE_Female"),
    _say("unknown voice", voice="nobody"),
    _say("a number for a voice", voice=5),
    _say("no voice", voice=None),
    _say("nothing to say", input=" "),
    _say("a number to say", input=5),
    _say("no input", input=None),
    _say("too long", input="Wort " * 8000),
    _say("too fast", speed=9),
    _say("speed in words", speed="x"),
    _say("no new tokens", max_new_tokens=0),
    _say("too many new tokens", max_new_tokens=4097),
    _say("new tokens in words", max_new_tokens="x"),
    _say("another's voice", ref_audio="x"),
    _say("unknown field", nonsense=1),
]

ROWS = [*SHARED, *GUARD, *VOXTRAL]

_UNION = "pydantic tries each of its dozen kinds of message and lists them all; the stand-in says it once"
LISTED: dict[tuple[Service, str], tuple[set[str], str]] = {
    ("vllm-guard", "GET /metrics"): ({"content"}, "the real one has 90 families more; the product reads none of them"),
    ("vllm-guard", "a message in words"): ({"content"}, _UNION),
    ("vllm-guard", "no role"): ({"content"}, _UNION),
    ("vllm-guard", "streamed"): ({"status", "type", "content"}, "the product streams no verdict: the stand-in refuses"),
    ("vllm-voxtral", "streamed, undecided"): ({"type", "content"}, "as from 0.26 on, so that a client must say it"),
    ("vllm-voxtral", "mp3"): ({"status", "type", "content"}, "the product asks for none: the stand-in has no encoder"),
}
"""Service, row -> in what the stand-in differs from the real 0.18.0, and why it may."""
