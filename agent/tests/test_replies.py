"""What a caller hears of a reply, by way of the real plugin and the guard, and what is reported of it."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import aiohttp
import pytest
from livekit.agents import APIConnectOptions
from livekit.agents.llm import ChatContext
from voice_agent.guard import Guard
from voice_agent.llm import BedrockSession, bedrock
from voice_agent.replies import Phrases, Replies
from voice_agent.reports import Reports
from voice_agent.turns import Reply

from models import Handler, Models, delta, event, hang, refusal, streaming
from stands import Stage

pytestmark = pytest.mark.anyio
START = event("messageStart", {"role": "assistant"})
GREEN = delta("It is green. And")
THROTTLED = event("throttlingException", {"message": "It is green."}, "exception")


async def heard(models: Models, http: aiohttp.ClientSession, options: APIConnectOptions) -> tuple[list[str], Reply]:
    """The sentences to be spoken, and what is known of them; each failure is reported once."""
    settings = Stage(Path(), models=models).settings(GUARD_DEADLINE_MS="900")
    session = BedrockSession(settings.aws_region, settings.bedrock_url)
    reply, context, reports = Reply(), ChatContext.empty(), Mock(Reports)
    context.add_message(role="user", content="Hello.")
    replies = Replies(Guard(settings, http), Phrases("No.", "Sorry."), reports)
    try:
        async with bedrock(settings, session).chat(chat_ctx=context, conn_options=options) as stream:
            said = [sentence async for sentence in replies.speak("Hello.", stream, reply)]
    finally:
        await session.close()
    assert [": ".join(call.args) for call in reports.error.call_args_list] == ([reply.error] if reply.error else [])
    assert [call.args[1].word for call in reports.verdict.call_args_list] == reply.verdicts
    return said, reply


@pytest.mark.parametrize(
    ("instead", "said", "why", "asked"),
    [
        pytest.param(streaming(then=hang), ["Sorry."], "timeout", 2, id="never answers"),
        pytest.param(streaming(START, then=hang), ["Sorry."], "timeout", 2, id="begins and says nothing"),
        # what was said is not begun anew
        pytest.param(streaming(START, GREEN, then=hang), ["It is green. ", "Sorry."], "timeout", 1, id="stops"),
        pytest.param(streaming(START, GREEN, THROTTLED), ["It is green. ", "Sorry."], "throttled", 1, id="breaks off"),
        pytest.param(streaming(THROTTLED), ["Sorry."], "throttled", 2, id="throttled"),
        pytest.param(refusal(403, "AccessDeniedException", "It is green."), ["Sorry."], "denied", 1, id="refuses"),
        pytest.param(streaming(START), ["Sorry."], "empty", 1, id="says nothing"),
    ],
)
async def test_a_model_that_fails_is_apologised_for(
    models: Models,
    http: aiohttp.ClientSession,
    hurried: APIConnectOptions,
    instead: Handler,
    said: list[str],
    why: str,
    asked: int,
) -> None:
    models.bedrock_instead = instead
    found, reply = await heard(models, http, hurried)
    assert (found, reply.error, len(models.prompts)) == (said, f"llm: {why}", asked)


async def test_an_unsafe_sentence_ends_the_reply(
    models: Models, http: aiohttp.ClientSession, hurried: APIConnectOptions
) -> None:
    models.answer = "It is green. It is dangerous. It is blue."
    said, reply = await heard(models, http, hurried)
    assert said == ["It is green. ", "No."]
    assert (reply.refused, reply.error, reply.verdicts) == (True, None, ["safe", "unsafe"])


@pytest.mark.parametrize("why", ["error", "deadline"])
async def test_a_guard_that_is_gone_or_late_refuses(
    models: Models, http: aiohttp.ClientSession, hurried: APIConnectOptions, why: str
) -> None:
    models.guard_instead = refusal(500, "", "") if why == "error" else streaming(then=hang)
    said, reply = await heard(models, http, hurried)
    assert said == ["No."]
    assert (reply.refused, reply.error, reply.verdicts) == (True, f"guard: {why}", [why])
