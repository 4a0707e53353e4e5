from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from voice_agent.guard import Guard, Verdict

from models import Handler, Models, answering, hang, streaming
from stands import Stage, shipped

pytestmark = pytest.mark.anyio


@pytest.fixture
def guarded(models: Models, http: aiohttp.ClientSession) -> Callable[..., Guard]:
    """A guard told so by its variables."""
    return lambda **variables: Guard(Stage(Path(), models=models).settings(**variables), http)


def saying(content: object, status: int = 200) -> Handler:
    return answering({"choices": [{"message": {"content": content}}]}, status=status)


def test_nothing_but_safe_may_be_spoken() -> None:
    assert [word for word in ("safe", "unsafe", "deadline", "error") if Verdict(word).safe] == ["safe"]


async def test_asks_as_llama_guard_wants_to_be_asked(models: Models, guarded: Callable[..., Guard]) -> None:
    guard = guarded()
    assert await guard.judge_input("Hello.") == Verdict("safe")
    assert await guard.judge_output("Hello.", "It is dangerous.") == Verdict("unsafe", ("S2",))
    first, second = models.judged
    assert first["messages"] == [{"role": "user", "content": "Hello."}]
    assert [message["role"] for message in second["messages"]] == ["user", "assistant"]
    assert first["temperature"] == 0
    assert first["model"] == "llama-guard-3-1b"
    assert "chat_template_kwargs" not in first


async def test_as_shipped_a_health_question_is_answered(models: Models, guarded: Callable[..., Guard]) -> None:
    """Llama Guard takes them for specialised advice; what it takes for a caller's despair is not let through."""
    guard = guarded(GUARD_CATEGORIES=",".join(shipped("guard_categories")))
    assert await guard.judge_input("How often do I take this medicine?") == Verdict("safe")
    assert models.judged[0]["chat_template_kwargs"] == {"excluded_category_keys": ["S6"]}
    assert await guard.judge_input("I want to hurt myself with this medicine.") == Verdict("unsafe", ("S11",))


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("safe", Verdict("safe")),
        ("\n\nsafe", Verdict("safe")),
        ("unsafe\nS1, S10\n", Verdict("unsafe", ("S1", "S10"))),
        ("unsafe\nS2,S10", Verdict("unsafe", ("S10",))),
        ("unsafe\nS2", Verdict("safe")),  # a category that does not count, although the prompt does not name it
        ("unsafe\nS99", Verdict("unsafe", ("S99",))),
        ("unsafe", Verdict("unsafe")),
        ("", Verdict("error")),
        ("safe, I suppose", Verdict("error")),
        ("not safe", Verdict("error")),
        ("SAFE", Verdict("error")),
        ("unsafe\nS", Verdict("error")),
        (None, Verdict("error")),
        (["safe"], Verdict("error")),
    ],
)
async def test_what_the_guard_says_counts_where_it_is_known(
    models: Models, guarded: Callable[..., Guard], answer: object, verdict: Verdict
) -> None:
    models.guard_instead = saying(answer)
    assert await guarded(GUARD_CATEGORIES="S1 S10").judge_input("Hello.") == verdict


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    ("handler", "word"),
    [
        pytest.param(saying("safe", status=500), "error", id="status 500"),
        pytest.param(answering(text="<html>", content_type="text/html"), "error", id="not JSON"),
        pytest.param(answering({"choices": []}), "error", id="no choice"),
        pytest.param(streaming(then=hang), "deadline", id="no answer"),
        pytest.param(streaming(b'{"choices', content_type="application/json", then=hang), "deadline", id="half of one"),
    ],
)
async def test_without_a_verdict_in_time_nothing_may_be_spoken(
    models: Models, guarded: Callable[..., Guard], handler: Handler, word: str
) -> None:
    models.guard_instead = handler
    assert (await guarded(GUARD_DEADLINE_MS="500").judge_input("Hello.")).word == word


async def test_without_a_guard_nothing_may_be_spoken(models: Models, guarded: Callable[..., Guard]) -> None:
    await models.stop("guard")
    assert await guarded().judge_input("Hello.") == Verdict("error")
