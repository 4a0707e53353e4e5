"""A reply as it is made: the model's stream, cut into sentences, each judged before anything else sees it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from dataclasses import dataclass
from typing import Any

from livekit.agents import APIError, llm

from . import patience
from .guard import Guard, Verdict
from .logs import name_exception
from .reports import Reports
from .sentences import Splitter
from .turns import Reply

logger = logging.getLogger("voice_agent.replies")


@dataclass(frozen=True)
class Phrases:
    """What the caller hears instead of a reply."""

    refusal: str
    apology: str


@dataclass(frozen=True)
class _Sentence:
    text: str
    verdict: asyncio.Task[Verdict]


class Replies:
    """Makes replies of one call, and reports each verdict and each failure."""

    def __init__(self, guard: Guard, phrases: Phrases, reports: Reports) -> None:
        self._guard = guard
        self._phrases = phrases
        self._reports = reports

    async def speak(self, caller: str, chunks: AsyncIterable[Any], reply: Reply) -> AsyncGenerator[str, None]:
        """The sentences of a reply that may be spoken; a refusal or an apology where it has to end."""
        queue: asyncio.Queue[_Sentence | None] = asyncio.Queue()
        reading = asyncio.create_task(self._read(caller, chunks, reply, queue))
        said = 0
        try:
            while (sentence := await queue.get()) is not None:
                verdict = await sentence.verdict
                reply.judged_at = reply.judged_at or time.time()
                reply.verdicts.append(verdict.word)
                self._reports.verdict("output", verdict)
                if not verdict.safe:
                    reply.refused = True
                    if verdict.word != "unsafe":
                        self._fail(reply, "guard", verdict.word)
                    yield self._phrases.refusal
                    return
                said += 1
                # the blank keeps the sentences apart in transcript and history
                yield f"{sentence.text} "
            await asyncio.wait({reading})
            if (why := _lost(reading, said)) is not None:
                self._fail(reply, "llm", why)
                yield self._phrases.apology
        finally:
            await _end([reading])
            left = [queue.get_nowait() for _ in range(queue.qsize())]
            await _end([sentence.verdict for sentence in left if sentence])

    async def _read(
        self, caller: str, chunks: AsyncIterable[Any], reply: Reply, queue: asyncio.Queue[_Sentence | None]
    ) -> None:
        """Cut the stream into sentences and have each judged at once, while earlier ones are spoken.

        Raises:
            TimeoutError: if a leg's time brought no sentence, connecting and retries included.
        """
        clock = asyncio.get_running_loop().time
        splitter = Splitter()
        so_far = ""

        def judge(sentences: list[str]) -> None:
            nonlocal so_far
            for text in sentences:
                reply.sentence_at = reply.sentence_at or time.time()
                # with what went before: a sentence may be harmless alone and not as an answer
                so_far = f"{so_far} {text}".strip()
                queue.put_nowait(_Sentence(text, asyncio.create_task(self._guard.judge_output(caller, so_far))))

        try:
            async with asyncio.timeout(patience.LEG) as silence:
                async for chunk in chunks:
                    if text := _text(chunk):
                        reply.first_token_at = reply.first_token_at or time.time()
                        if sentences := splitter.push(text):
                            silence.reschedule(clock() + patience.LEG)
                            judge(sentences)
            judge(splitter.rest())
        finally:
            queue.put_nowait(None)

    def _fail(self, reply: Reply, leg: str, why: str) -> None:
        reply.error = f"{leg}: {why}"
        self._reports.error(leg, why)


def _lost(reading: asyncio.Task[None], said: int) -> str | None:
    """Why the model's answer is missing or incomplete, or None."""
    error = reading.exception() if reading.done() else None
    if error is None:
        return None if said else "empty"
    logger.error("the language model failed (%s)", name_exception(error))
    if isinstance(error, TimeoutError):
        return "timeout"
    root = error.__cause__ or error
    known = getattr(root, "kind", None)
    if isinstance(known, str):
        return known
    return "unreachable" if isinstance(root, APIError) else "failed"


def _text(chunk: Any) -> str:
    if isinstance(chunk, str):
        return chunk
    if isinstance(chunk, llm.ChatChunk) and chunk.delta:
        return chunk.delta.content or ""
    return ""


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
