from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import aiohttp
import pytest
from aiohttp import web
from voice_agent.guard import Guard, Verdict
from voice_agent.settings import Settings

from models import Handler, Models
from stands import Stage, shipped

pytestmark = pytest.mark.anyio


@pytest.fixture
async def models() -> AsyncIterator[Models]:
    built = Models()
    await built.start("guard")
    yield built
    await built.stop()


def settings(models: Models, **changes: object) -> Settings:
    built = Settings.from_environment(Stage(Path(), models=models).environment)
    return replace(built, **changes)  # type: ignore[arg-type]


def saying(content: object, status: int = 200) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        return web.json_response({"choices": [{"message": {"content": content}}]}, status=status)

    return handler


@pytest.mark.parametrize(("word", "safe"), [("safe", True), ("unsafe", False), ("deadline", False), ("error", False)])
def test_nothing_but_safe_may_be_spoken(word: Literal["safe", "unsafe", "deadline", "error"], safe: bool) -> None:
    assert Verdict(word).safe is safe


async def test_asks_as_llama_guard_wants_to_be_asked(models: Models, http: aiohttp.ClientSession) -> None:
    guard = Guard(settings(models), http)
    assert await guard.judge_input("Hello.") == Verdict("safe")
    assert await guard.judge_output("Hello.", "It is dangerous.") == Verdict("unsafe", ("S2",))
    first, second = models.judged
    assert first["messages"] == [{"role": "user", "content": "Hello."}]
    assert [message["role"] for message in second["messages"]] == ["user", "assistant"]
    assert first["temperature"] == 0
    assert first["model"] == "llama-guard-3-1b"
    assert "chat_template_kwargs" not in first


async def test_only_configured_categories_count(models: Models, http: aiohttp.ClientSession) -> None:
    guard = Guard(settings(models, guard_categories=frozenset({"S1", "S10"})), http)
    for answer, verdict in {
        "unsafe\nS2": Verdict("safe"),
        "unsafe\nS2,S10": Verdict("unsafe", ("S10",)),
        "unsafe\nS99": Verdict("unsafe", ("S99",)),
        "unsafe": Verdict("unsafe"),
    }.items():
        models.guard_instead = saying(answer)
        assert await guard.judge_input("Hello.") == verdict
    excluded = models.judged[0]["chat_template_kwargs"]["excluded_category_keys"]
    assert len(excluded) == 11
    assert not {"S1", "S10"} & set(excluded)


async def test_as_shipped_a_health_question_is_answered(models: Models, http: aiohttp.ClientSession) -> None:
    guard = Guard(settings(models, guard_categories=frozenset(shipped("guard_categories"))), http)
    assert await guard.judge_input("How often do I take this medicine?") == Verdict("safe")
    assert models.judged[0]["chat_template_kwargs"] == {"excluded_category_keys": ["S6"]}
    assert await guard.judge_input("I want to hurt myself with this medicine.") == Verdict("unsafe", ("S11",))
    # and where the model names it although its prompt does not
    for answer, verdict in {
        "unsafe\nS6": Verdict("safe"),
        "unsafe\nS1": Verdict("unsafe", ("S1",)),
        "unsafe\nS6,S11": Verdict("unsafe", ("S11",)),
    }.items():
        models.guard_instead = saying(answer)
        assert await guard.judge_input("Hello.") == verdict


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ("safe", "safe"),
        ("\n\nsafe", "safe"),
        ("unsafe\nS1, S10\n", "unsafe"),
        ("", "error"),
        ("safe, I suppose", "error"),
        ("not safe", "error"),
        ("SAFE", "error"),
        ("unsafe\nS", "error"),
        (None, "error"),
        (["safe"], "error"),
    ],
)
async def test_anything_unknown_is_no_leave_to_speak(
    models: Models, http: aiohttp.ClientSession, answer: object, word: str
) -> None:
    models.guard_instead = saying(answer)
    assert (await Guard(settings(models), http).judge_input("Hello.")).word == word


async def test_errors_fail_closed(models: Models, http: aiohttp.ClientSession) -> None:
    async def html(_request: web.Request) -> web.Response:
        return web.Response(text="<html>", content_type="text/html")

    async def empty(_request: web.Request) -> web.Response:
        return web.json_response({"choices": []})

    guard = Guard(settings(models), http)
    for handler in (saying("safe", status=500), html, empty):
        models.guard_instead = handler
        assert await guard.judge_input("Hello.") == Verdict("error")
    await models.stop("guard")
    assert await guard.judge_input("Hello.") == Verdict("error")


async def test_the_deadline_covers_everything(models: Models, http: aiohttp.ClientSession) -> None:
    async def silent(_request: web.Request) -> web.Response:
        await asyncio.sleep(3600)
        raise AssertionError

    models.guard_instead = silent
    assert await Guard(settings(models, guard_deadline_ms=50), http).judge_input("Hello.") == Verdict("deadline")
