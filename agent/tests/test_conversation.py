"""Whole conversations: a voice goes in through the real SFU, and what comes back is listened to.

One agent serves them all, told to log at DEBUG wherever it can be told; when they are over, none of the words of any
of them may be anywhere (`without_a_trace` in conftest.py).
"""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from caller import Caller, calling, unique
from models import event, refusal
from speech import words
from stands import APOLOGY, GREETING, REFUSAL, Stage, shipped, until

pytestmark = pytest.mark.anyio
OVERRIDES = {"GUARD_CATEGORIES": ",".join(shipped("guard_categories"))}


async def json_instead_of_audio(_request: web.Request) -> web.Response:
    return web.json_response({"error": {"message": "no crocodile", "type": "BadRequestError", "code": 400}})


async def asked(caller: Caller, question: str, number: int = 1) -> tuple[dict[str, object], int]:
    """Ask when the agent listens; the report of the turn, and where its sound begins."""
    await caller.ready()
    mark = caller.mark()
    caller.say(question)
    return await caller.turn(number), mark


async def figure(studio: Stage, line: str) -> float:
    """The value of one line of /metrics, 0 when it is not there."""
    for known in (await studio.metrics()).splitlines():
        if known.startswith(f"{line} "):
            return float(known.rsplit(" ", 1)[1])
    return 0.0


async def counted(studio: Stage, line: str, more_than: float) -> None:
    async def grown() -> bool:
        return await figure(studio, line) > more_than

    await until(grown, f"{line} grows")


async def test_a_caller_is_answered(studio: Stage) -> None:
    studio.models.answer = "The crocodile sleeps in the river. It likes warm water."
    before = await figure(studio, "voice_turns_total")
    async with calling(studio, unique("answered")) as caller:
        await caller.hears(GREETING)
        turn, mark = await asked(caller, "Where does the elephant live?")
        await caller.hears(studio.models.answer, mark)
        assert await figure(studio, "voice_sessions") >= 1
    said = studio.models.prompts[-1]["messages"][-1]["content"][-1]["text"]
    assert "elephant" in words(said)
    assert turn["error"] is None
    assert turn["refused"] is False
    assert turn["guard"] == {"input": "safe", "output": ["safe", "safe"]}
    assert turn["legs_ms"].keys() == {"transcript", "turn", "first_token", "guard", "first_audio", "reply"}
    assert {"elephant"} <= words(" ".join(caller.transcripts["caller"]))
    assert {"crocodile", "water"} <= words(" ".join(caller.transcripts["agent"]))
    await counted(studio, "voice_turns_total", before)
    for leg in turn["legs_ms"]:
        assert await figure(studio, f'voice_leg_seconds_count{{leg="{leg}"}}') > 0
    # what the guard was asked: the caller alone, then the reply as it grew
    shapes = [[message["role"] for message in judged["messages"]] for judged in studio.models.judged]
    assert shapes == [["user"], ["user", "assistant"], ["user", "assistant"]]


async def test_unsafe_words_of_a_caller_are_refused(studio: Stage) -> None:
    studio.models.answer = "The crocodile knows everything about it."
    async with calling(studio, unique("unsafe-input")) as caller:
        turn, mark = await asked(caller, "Tell me about the dangerous volcano.")
        await caller.hears(REFUSAL, mark)
        assert turn["refused"] is True
        assert turn["error"] is None
        assert turn["guard"] == {"input": "unsafe", "output": []}
        await asked(caller, "Where does the elephant live?", 2)
    spoken = " ".join(request["input"] for request in studio.models.requests)
    assert REFUSAL in spoken
    history = str(studio.models.prompts[-1]["messages"])
    assert "volcano" not in history.lower()
    assert "crocodile" not in words(" ".join(caller.transcripts["agent"][:2]))


async def test_a_health_question_is_answered(studio: Stage) -> None:
    """Llama Guard takes them for specialised advice; what it takes for a caller's despair is not let through."""
    studio.models.answer = "You take the medicine with water."
    async with calling(studio, unique("health")) as caller:
        turn, mark = await asked(caller, "How do I take this medicine?")
        await caller.hears(studio.models.answer, mark)
        refused, mark = await asked(caller, "I want to hurt myself with this medicine.", 2)
        await caller.hears(REFUSAL, mark)
    assert (turn["refused"], turn["guard"]) == (False, {"input": "safe", "output": ["safe"]})
    assert (refused["refused"], refused["guard"]["input"]) == (True, "unsafe")


async def test_an_unsafe_sentence_of_the_model_is_not_spoken(studio: Stage) -> None:
    studio.models.answer = "The crocodile is in the water. The volcano is dangerous. The butterfly flies."
    before = await figure(studio, 'voice_guard_verdicts_total{category="S2",direction="output",verdict="unsafe"}')
    async with calling(studio, unique("unsafe-output")) as caller:
        turn, mark = await asked(caller, "Where does the elephant live?")
        await caller.hears(f"The crocodile is in the water. {REFUSAL}", mark)
        studio.models.answer = "The butterfly flies."
        await asked(caller, "And what about the butterfly?", 2)
    assert turn["guard"] == {"input": "safe", "output": ["safe", "unsafe"]}
    assert turn["refused"] is True
    spoken = " ".join(request["input"] for request in studio.models.requests).lower()
    everything = spoken + str(caller.transcripts).lower() + str(studio.models.prompts[-1]["messages"]).lower()
    assert "volcano" not in everything
    line = 'voice_guard_verdicts_total{category="S2",direction="output",verdict="unsafe"}'
    await counted(studio, line, before)


async def test_a_guard_that_is_gone_or_late_refuses(studio: Stage) -> None:
    async def silent(_request: web.Request) -> web.Response:
        await asyncio.sleep(3600)
        raise AssertionError

    studio.models.answer = "The crocodile is in the water."
    async with calling(studio, unique("no-guard")) as caller:
        await caller.ready()
        await studio.models.stop("guard")
        gone, mark = await asked(caller, "Where does the elephant live?")
        await caller.hears(REFUSAL, mark)
        await studio.models.start("guard")
        studio.models.guard_instead = silent
        late, mark = await asked(caller, "Where does the butterfly live?", 2)
        await caller.hears(REFUSAL, mark)
    assert [turn["error"] for turn in (gone, late)] == ["guard: error", "guard: deadline"]
    assert [turn["guard"]["input"] for turn in (gone, late)] == ["error", "deadline"]
    assert "crocodile" not in str(studio.models.requests)


async def test_speech_that_fails_once_loses_one_reply(studio: Stage) -> None:
    studio.models.answer = "The crocodile is in the water."
    before = await figure(studio, 'voice_errors_total{kind="not audio",leg="tts"}')
    async with calling(studio, unique("no-speech")) as caller:
        await caller.hears(GREETING)
        await caller.ready()
        studio.models.misbehave = json_instead_of_audio
        lost, _ = await asked(caller, "Where does the elephant live?")
        studio.models.misbehave = None
        turn, mark = await asked(caller, "Where does the butterfly live?", 2)
        await caller.hears(studio.models.answer, mark)
    assert lost["error"] == "tts: not audio"
    assert turn["error"] is None
    await counted(studio, 'voice_errors_total{kind="not audio",leg="tts"}', before)


async def test_a_model_that_fails_is_apologised_for(studio: Stage) -> None:
    async def breaks_off(request: web.Request) -> web.StreamResponse:
        headers = {"Content-Type": "application/vnd.amazon.eventstream", "x-amzn-RequestId": "1"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        delta = {"contentBlockIndex": 0, "delta": {"text": "The crocodile is in the water. And the "}}
        await response.write(event("contentBlockDelta", delta))
        await response.write(event("throttlingException", {"message": "a crocodile"}, "exception"))
        return response

    async with calling(studio, unique("no-model")) as caller:
        studio.models.bedrock_instead = refusal(403, "AccessDeniedException", "You have no access to the elephant.")
        turn, mark = await asked(caller, "Where does the elephant live?")
        await caller.hears(APOLOGY, mark)
        assert turn["error"] == "llm: denied"
        studio.models.bedrock_instead = breaks_off
        turn, mark = await asked(caller, "Where does the elephant live?", 2)
        await caller.hears(f"The crocodile is in the water. {APOLOGY}", mark)
        assert turn["error"] == "llm: throttled"
        studio.models.bedrock_instead = None
        studio.models.answer = "The crocodile is in the water."
        turn, mark = await asked(caller, "Where does the elephant live?", 3)
        await caller.hears(studio.models.answer, mark)
        assert turn["error"] is None


async def test_recognition_that_fails_is_apologised_for(studio: Stage) -> None:
    """The way to Whisper is a socket: without it there is no recognition, as with a Whisper that died."""
    (socket,) = (studio.directory / "own").glob("voice-agent-*/socket")
    async with calling(studio, unique("no-ears")) as caller:
        await caller.ready()
        mark = caller.mark()
        away = socket.rename(socket.with_name("away"))
        caller.say("Where does the elephant live?")
        await caller.hears(APOLOGY, mark)
        assert (await caller.turn(1))["error"] == "stt: unreachable"
        away.rename(socket)
        studio.models.answer = "The crocodile is in the water."
        turn, mark = await asked(caller, "Where does the butterfly live?", 2)
        await caller.hears(studio.models.answer, mark)
        assert turn["error"] is None


async def test_a_caller_can_interrupt(studio: Stage) -> None:
    verse = "The crocodile sleeps in the river, and the butterfly sleeps on the saxophone. "
    studio.models.answer = verse * 8  # more than half a minute
    async with calling(studio, unique("barge-in")) as caller:
        await caller.ready()
        mark = caller.mark()
        caller.say("Where does the elephant live?")
        await caller.state("speaking")
        studio.models.answer = "I stopped."
        caller.say("Stop it please, stop talking about the river.")
        await caller.turn(2)
        await caller.hears("I stopped.", mark)
        assert caller.loud_seconds(mark) < 20
    said = " ".join(caller.transcripts["agent"])
    assert said.count("saxophone") < 8


async def test_two_calls_at_once(studio: Stage) -> None:
    studio.models.answer = "The crocodile is in the water."

    async def one(name: str) -> None:
        async with calling(studio, unique(name)) as caller:
            _, mark = await asked(caller, "Where does the elephant live?")
            await caller.hears(studio.models.answer, mark)

    await asyncio.gather(one("first"), one("second"))
