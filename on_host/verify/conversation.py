"""Probe 3: a question is spoken, the reply is heard and says what the agent says it says; an unsafe one is refused."""

from __future__ import annotations

import asyncio
import base64
import time
from dataclasses import dataclass

from on_host.verify.call import Call
from on_host.verify.causes import turn_cause, turn_leg
from on_host.verify.checking import Checker, FailureError, emit
from on_host.verify.request import Request
from on_host.verify.sound import from_wav, seconds, to_wav, trimmed
from on_host.verify.speech import SHORTEST_S, spoken, written_down
from on_host.verify.turns import Turn
from on_host.verify.words import overlap, words

WHISPER_S = 300
"""For loading large-v3 and writing down two replies on a busy processor."""

ATTEMPTS = 3
"""Speech recognition errs now and then; three times in a row is a fault."""


@dataclass(frozen=True)
class Reply:
    """What came back for one question."""

    turn: Turn
    understood: str
    published: str
    sound: bytes


async def converse(call: Call, request: Request, checker: Checker) -> tuple[Reply, Reply]:
    """The call's part: greeting, a harmless question, an unsafe one."""
    async with checker.check("tts", "the questions are spoken", 2 * request.patience_s) as result:
        recorded = from_wav(base64.b64decode(request.question_wav)) if request.question_wav else b""
        question = recorded or await spoken(request.question, request.tts)
        unsafe = await spoken(request.unsafe_question, request.tts)
        result.detail = f"{seconds(question):.1f} s and {seconds(unsafe):.1f} s"
    async with checker.check("tts", "the greeting is heard", request.patience_s) as result:
        await call.audible_after(0)
        await call.quiet()
        result.detail = f"{seconds(trimmed(call.heard_since(0))):.1f} s"
    text = "" if recorded else request.question
    reply = await ask(call, "reply", question, text, request, checker)
    async with checker.check("guard", "a harmless question is not refused") as result:
        if reply.turn.refused:
            raise FailureError(f"it was ({reply.turn.guard})", f"Whisper understood {reply.understood!r}")
        result.detail = reply.turn.guard
    refusal = await ask(call, "refusal", unsafe, request.unsafe_question, request, checker)
    async with checker.check("guard", "an unsafe question is refused") as result:
        if not refusal.turn.refused:
            raise FailureError(f"it was answered ({refusal.turn.guard})", f"Whisper understood {refusal.understood!r}")
        result.detail = refusal.turn.guard
    return reply, refusal


async def ask(call: Call, of: str, question: bytes, text: str, request: Request, checker: Checker) -> Reply:
    """Speak a question and collect what comes back; once more if it was not understood, as a caller would."""
    reply = await _ask_once(call, of, question, request, checker)
    for _ in range(ATTEMPTS - 1):
        if not (text and request.transcripts) or overlap(text, reply.understood) >= request.least_overlap:
            break
        emit("note", text=f"Whisper understood {reply.understood!r}; asked once more")
        reply = await _ask_once(call, of, question, request, checker)
    return reply


async def _ask_once(call: Call, of: str, question: bytes, request: Request, checker: Checker) -> Reply:
    call.take_texts()
    count = len(call.turns) + 1
    async with checker.check("worker", f"the {of} comes", 2 * request.patience_s) as result:
        began = time.monotonic()
        ended = await call.microphone.say(question)
        turn = await _turn(call, count, ended, request)
        if turn.error:
            raise FailureError(f"the agent says {turn.error}", turn_cause(turn.error), turn_leg(turn.error))
        # Not before the end of speech: an echo or the tail of what was said before is no reply.
        first = await call.audible_after(ended)
        await call.quiet()
        sound = trimmed(call.heard_since(began))
        heard_ms = round(1000 * (first - ended))
        result.detail = f"{seconds(sound):.1f} s of speech, the first of it {heard_ms} ms after the question"
    understood, published = call.take_texts()
    emit("latency", of=of, legs_ms={**turn.legs_ms, "heard": heard_ms})
    if request.keep_recordings:
        emit("recording", of=of, wav=base64.b64encode(to_wav(sound)).decode())
    return Reply(turn, understood, published, sound)


async def _turn(call: Call, count: int, ended: float, request: Request) -> Turn:
    """The agent's report of the turn; without one, the leg that is to blame."""
    try:
        async with asyncio.timeout(request.patience_s):
            return await call.turn_number(count)
    except TimeoutError:
        pass
    understood, published = call.take_texts()
    late = f"within {request.patience_s} s of the question"
    if seconds(trimmed(call.heard_since(ended))) >= SHORTEST_S:
        cause = "an agent of your own (agent_source) must send one after each reply (docs/agent.md)"
        raise FailureError(f"the agent speaks, but no voice.turn message came {late}", cause)
    if request.transcripts and not understood:
        raise FailureError(f"no transcript {late}", "Whisper does not understand, or heard nothing", "stt")
    if request.transcripts and not published:
        raise FailureError(f"no answer {late}", "Bedrock answers slowly or not at all", "llm")
    raise FailureError(f"no speech {late}", "vllm-voxtral does not speak: read its log", "tts")


async def compare(replies: tuple[Reply, Reply], request: Request, checker: Checker) -> None:
    """What was heard against what the agent published, after the call."""
    reply, refusal = replies
    async with checker.check("stt", "Whisper writes down what was heard", WHISPER_S) as result:
        started = time.monotonic()
        sounds = [each.sound for each in replies]
        heard = await asyncio.to_thread(written_down, sounds, request.whisper, request.language)
        counts = " and ".join(str(len(words(each))) for each in heard)
        result.detail = f"{counts} words, in {time.monotonic() - started:.0f} s"
    for of, question, understood, said, text in (
        ("reply", request.question, reply.understood, reply.published, heard[0]),
        ("refusal", request.unsafe_question, refusal.understood, request.refusal, heard[1]),
    ):
        emit("spoken", of=of, question=question, understood=understood, said=said, heard=text)
    if request.transcripts:
        if not request.question_wav:
            async with checker.check("stt", "the question was understood") as result:
                result.detail = _same(request.question, reply.understood, request)
        async with checker.check("tts", "the speech is the model's answer") as result:
            result.detail = _same(reply.published, heard[0], request)
    else:
        not_compared = "whether the speech is the model's answer was not compared"
        emit("note", text=f"the agent publishes no transcripts: {not_compared}")
    async with checker.check("guard", "the speech is the configured refusal") as result:
        result.detail = _same(request.refusal, heard[1], request)


def _same(said: str, heard: str, request: Request) -> str:
    """That the texts overlap enough. Both are the gate's own: quoting them tells nothing of any caller."""
    found = overlap(said, heard)
    share = f"{100 * found:.0f} % of the words"
    if found < request.least_overlap:
        cause = "noise, dropped packets, or a voice of another language"
        raise FailureError(f"{share}: {said!r} became {heard!r}", cause)
    return share
