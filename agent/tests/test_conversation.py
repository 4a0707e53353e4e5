"""Whole conversations: a voice goes in through the real SFU, and what comes back is listened to.

One agent serves them all, told to log at DEBUG wherever it can be told; when they are over, none of the words of any
of them may be anywhere (`without_a_trace` in conftest.py).
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from caller import Caller, calling, unique
from models import answering, refusal
from speech import words
from stands import APOLOGY, GREETING, REFUSAL, Stage, until

pytestmark = pytest.mark.anyio
QUESTION = "Where does the elephant live?"


async def asked(caller: Caller, question: str, number: int = 1) -> tuple[dict[str, Any], int]:
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


async def test_two_callers_are_answered_at_once(studio: Stage) -> None:
    answer = studio.models.answer = "The crocodile sleeps in the river. It likes warm water."
    before = await figure(studio, "voice_turns_total")

    async def answered(name: str) -> None:
        async with calling(studio, unique(name)) as caller:
            await caller.hears(GREETING)
            turn, mark = await asked(caller, QUESTION)
            await caller.hears(answer, mark)
            assert await figure(studio, "voice_sessions") >= 1
        legs = turn.pop("legs_ms")
        assert turn == {
            "turn": 1,
            "guard": {"input": "safe", "output": ["safe", "safe"]},
            "refused": False,
            "error": None,
        }
        assert legs.keys() == {"transcript", "turn", "first_token", "guard", "first_audio", "reply"}
        for leg in legs:
            assert await figure(studio, f'voice_leg_seconds_count{{leg="{leg}"}}') > 0
        assert "elephant" in words(" ".join(caller.transcripts["caller"]))
        assert {"crocodile", "water"} <= words(" ".join(caller.transcripts["agent"]))

    await asyncio.gather(answered("first"), answered("second"))
    await counted(studio, "voice_turns_total", before + 1)
    for prompt in studio.models.prompts:
        assert "elephant" in words(prompt["messages"][-1]["content"][-1]["text"])
    # what the guard was asked: each caller alone, then the reply as it grew
    shapes = [len(judged["messages"]) for judged in studio.models.judged]
    assert sorted(shapes) == [1, 1, 2, 2, 2, 2]


async def test_what_the_guard_refuses_leaves_no_trace(studio: Stage) -> None:
    line = 'voice_guard_verdicts_total{category="S2",direction="output",verdict="unsafe"}'
    before = await figure(studio, line)
    async with calling(studio, unique("unsafe")) as caller:
        studio.models.answer = "The crocodile knows everything about it."
        turn, mark = await asked(caller, "Tell me about the dangerous volcano.")
        await caller.hears(REFUSAL, mark)
        assert (turn["refused"], turn["error"]) == (True, None)
        assert turn["guard"] == {"input": "unsafe", "output": []}
        assert "crocodile" not in str(caller.transcripts["agent"])
        studio.models.answer = "The crocodile is in the water. The volcano is dangerous. The butterfly flies."
        turn, mark = await asked(caller, QUESTION, 2)
        await caller.hears(f"The crocodile is in the water. {REFUSAL}", mark)
        assert (turn["refused"], turn["error"]) == (True, None)
        assert turn["guard"] == {"input": "safe", "output": ["safe", "unsafe"]}
        studio.models.answer = "The butterfly flies."
        await asked(caller, "And what about the butterfly?", 3)
    everything = [studio.models.requests, caller.transcripts["agent"], studio.models.prompts[-1]["messages"]]
    assert "volcano" not in str(everything).lower()
    await counted(studio, line, before)


async def test_what_fails_is_told_and_the_call_goes_on(studio: Stage) -> None:
    """The way to Whisper is a socket: without it there is no recognition, as with a Whisper that died."""
    models = studio.models
    answer = models.answer = "The crocodile is in the water."
    (socket,) = (studio.directory / "own").glob("voice-agent-*/socket")
    line = 'voice_errors_total{kind="not audio",leg="tts"}'
    before = await figure(studio, line)
    async with calling(studio, unique("failures")) as caller:
        # first, as a connection that is there would go on
        away = socket.rename(socket.with_name("away"))
        turn, mark = await asked(caller, QUESTION)
        assert turn["error"] == "stt: unreachable"
        await caller.hears(APOLOGY, mark)
        away.rename(socket)

        models.bedrock_instead = refusal(403, "AccessDeniedException", "You have no access to the elephant.")
        turn, mark = await asked(caller, QUESTION, 2)
        assert turn["error"] == "llm: denied"
        await caller.hears(APOLOGY, mark)
        models.bedrock_instead = None

        await models.stop("guard")
        turn, mark = await asked(caller, QUESTION, 3)
        assert (turn["error"], turn["guard"]["input"]) == ("guard: error", "error")
        await caller.hears(REFUSAL, mark)
        assert "crocodile" not in str(models.requests)
        await models.start("guard")

        models.misbehave = answering({"error": {"message": "no crocodile", "type": "BadRequestError", "code": 400}})
        turn, _ = await asked(caller, QUESTION, 4)
        assert turn["error"] == "tts: not audio"
        await counted(studio, line, before)
        models.misbehave = None

        turn, mark = await asked(caller, QUESTION, 5)
        assert turn["error"] is None
        await caller.hears(answer, mark)


async def test_a_caller_can_interrupt(studio: Stage) -> None:
    verse = "The crocodile sleeps in the river, and the butterfly sleeps on the saxophone. "
    studio.models.answer = verse * 8  # more than half a minute
    async with calling(studio, unique("barge-in")) as caller:
        await caller.ready()
        mark = caller.mark()
        caller.say(QUESTION)
        await caller.state("speaking")
        studio.models.answer = "I stopped."
        caller.say("Stop it please, stop talking about the river.")
        await caller.turn(2)
        await caller.hears("I stopped.", mark)
        assert caller.loud_seconds(mark) < 20
    said = " ".join(caller.transcripts["agent"])
    assert said.count("saxophone") < 8
