"""Stand-ins for the models around the agent: Voxtral and Llama Guard behind vLLM, Mistral behind Bedrock."""

from __future__ import annotations

import asyncio
import binascii
import json
import re
import struct
import time
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from speech import RATE, spoken, tone

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

REGION = "eu-central-1"
MODEL = "mistral.mistral-large-2402-v1:0"
ACCESS_KEY = "AKIAVOICEAGENTTEST00"
EVENTS = "application/vnd.amazon.eventstream"
NAMES = ("tts", "guard", "bedrock")
# uvicorn's, behind both engines
KEEP_ALIVE_SECONDS = 5.0


def event(kind: str, payload: dict[str, Any], message_type: str = "event") -> bytes:
    """One frame of application/vnd.amazon.eventstream: prelude, headers, payload, each part with its CRC32."""
    name = ":event-type" if message_type == "event" else ":exception-type"
    values = {":message-type": message_type, name: kind, ":content-type": "application/json"}
    headers = b"".join(
        struct.pack(">B", len(key)) + key.encode() + struct.pack(">BH", 7, len(value)) + value.encode()
        for key, value in values.items()
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", len(headers) + len(body) + 16, len(headers))
    message = prelude + struct.pack(">I", binascii.crc32(prelude)) + headers + body
    return message + struct.pack(">I", binascii.crc32(message))


def answering(document: Any = None, **answer: Any) -> Handler:
    """The same to every request: a JSON document, or what web.Response is made of."""

    async def handler(_request: web.Request) -> web.Response:
        return web.Response(**answer) if document is None else web.json_response(document, **answer)

    return handler


def refusal(status: int, code: str, message: str) -> Handler:
    """AWS's way to say no."""
    return answering({"message": message}, status=status, headers={"x-amzn-ErrorType": code})


async def hang(_request: web.Request) -> None:
    """What never ends."""
    await asyncio.sleep(3600)


def streaming(
    *pieces: bytes, content_type: str = EVENTS, then: Callable[[web.Request], Awaitable[None]] | None = None
) -> Handler:
    """An answer in pieces (without any, not even its head), and how it ends when that is not well."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": content_type, "x-amzn-RequestId": "1"})
        for piece in pieces:
            if not response.prepared:
                await response.prepare(request)
            await response.write(piece)
        if then:
            await then(request)
        return response

    return handler


def delta(text: str) -> bytes:
    """A piece of what the language model says."""
    return event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}})


@dataclass
class Models:
    """The three services; what each does can be replaced, and every request is kept."""

    tts_url: str = ""
    guard_url: str = ""
    bedrock_url: str = ""
    # None: /v1/audio/speech speaks the words; a number: a tone of so many seconds
    tone_seconds: float | None = None
    # how long an engine keeps an idle connection
    keep_alive: float = KEEP_ALIVE_SECONDS
    # what a service does instead, when set
    misbehave: Handler | None = None
    guard_instead: Handler | None = None
    bedrock_instead: Handler | None = None
    # what the language model says, word by word
    answer: str = "I am fine."
    # what the guard calls unsafe, and as what
    forbidden: dict[str, str] = field(
        default_factory=lambda: {"dangerous": "S2", "volcano": "S2", "medicine": "S6", "hurt myself": "S11"}
    )
    requests: list[dict[str, Any]] = field(default_factory=list)
    judged: list[dict[str, Any]] = field(default_factory=list)
    prompts: list[dict[str, Any]] = field(default_factory=list)
    # set to let a stream of speech go on after its first chunk
    second_chunk: asyncio.Event = field(default_factory=asyncio.Event)
    _servers: dict[str, TestServer] = field(default_factory=dict)
    _ports: dict[str, int] = field(default_factory=dict)
    # when each connection to an engine was last used
    _used: weakref.WeakKeyDictionary[asyncio.BaseTransport, float] = field(default_factory=weakref.WeakKeyDictionary)

    async def start(self, *names: str) -> None:
        self.reserve()
        for name in names or NAMES:
            app = web.Application(middlewares=[] if name == "bedrock" else [self._uvicorn])
            app.router.add_get("/health", self._health)
            app.router.add_post("/v1/audio/speech", self._speech)
            app.router.add_post("/v1/chat/completions", self._judge)
            app.router.add_post("/model/{model}/converse-stream", self._converse)
            self._servers[name] = TestServer(app, port=self._ports[name])
            await self._servers[name].start_server(access_log=None, shutdown_timeout=0.1)

    def reserve(self) -> None:
        """Fix the addresses without listening on them yet."""
        for name in NAMES:
            setattr(self, f"{name}_url", f"http://127.0.0.1:{self._ports.setdefault(name, unused_port())}")

    async def stop(self, *names: str) -> None:
        for name in names or tuple(self._servers):
            await self._servers.pop(name).close()

    def behave(self) -> None:
        """As at the start, and with nothing heard."""
        self.misbehave = self.guard_instead = self.bedrock_instead = None
        self.answer = type(self).answer
        for heard in (self.requests, self.judged, self.prompts):
            heard.clear()
        self.second_chunk.set()

    @web.middleware
    async def _uvicorn(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Close connections that were idle for `keep_alive`, with the worst luck: what comes after nine tenths is lost.

        With a real one that is only what crosses its close (9 of 150 requests that were made when it was due).
        """
        transport = request.transport
        assert transport
        if time.monotonic() - self._used.get(transport, time.monotonic()) >= 0.9 * self.keep_alive:
            transport.abort()
            return web.Response()
        response = await handler(request)
        self._used[transport] = time.monotonic()
        return response

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(text="")

    async def _speech(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.requests.append(asked)
        if self.misbehave:
            return await self.misbehave(request)
        if asked.get("stream") and asked.get("stream_format") != "audio":
            # from 0.26 on; before, audio was the default
            return web.Response(text="event: speech.audio.done\ndata: {}\n\n", content_type="text/event-stream")
        seconds = self.tone_seconds
        audio = tone(seconds) if seconds is not None else await asyncio.to_thread(spoken, asked["input"])
        response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
        await response.prepare(request)
        first = RATE * 2 * 4 // 10
        await response.write(audio[:first])
        await self.second_chunk.wait()
        for start in range(first, len(audio), RATE):
            await response.write(audio[start : start + RATE])
        return response

    async def _judge(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.judged.append(asked)
        if self.guard_instead:
            return await self.guard_instead(request)
        last = asked["messages"][-1]["content"].lower()
        excluded = asked.get("chat_template_kwargs", {}).get("excluded_category_keys", ())
        found = {category for words, category in self.forbidden.items() if words in last} - set(excluded)
        verdict = f"unsafe\n{','.join(sorted(found))}" if found else "safe"
        return web.json_response({"choices": [{"message": {"role": "assistant", "content": verdict}}]})

    async def _converse(self, request: web.Request) -> web.StreamResponse:
        self.prompts.append(await request.json())
        scope = f"Credential={ACCESS_KEY}/\\d{{8}}/{REGION}/bedrock/aws4_request"
        if not re.search(scope, request.headers.get("Authorization", "")):
            return await refusal(403, "UnrecognizedClientException", "The security token is invalid.")(request)
        if request.match_info["model"] != MODEL:
            text = "The provided model identifier is invalid."
            return await refusal(400, "ValidationException", text)(request)
        if self.bedrock_instead:
            return await self.bedrock_instead(request)
        usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
        answer = streaming(
            event("messageStart", {"role": "assistant"}),
            *(delta(word) for word in re.findall(r"\S+\s*", self.answer)),
            event("contentBlockStop", {"contentBlockIndex": 0}),
            event("messageStop", {"stopReason": "end_turn"}),
            event("metadata", {"usage": usage, "metrics": {"latencyMs": 1}}),
        )
        return await answer(request)
