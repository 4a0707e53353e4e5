"""The connections to the engines, which uvicorn closes when they are idle."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import aiohttp
import pytest
from voice_agent import engines
from voice_agent.guard import Guard, Verdict

from models import KEEP_ALIVE_SECONDS, Models
from stands import AGENT, Stage

pytestmark = pytest.mark.anyio
# a tenth of uvicorn's, and the same share of it for the client
SCALE = 0.1
# the client has let go by then, and the engine is about to
PAUSE = 0.95 * SCALE * KEEP_ALIVE_SECONDS


async def verdicts(models: Models, http: aiohttp.ClientSession) -> list[Verdict]:
    """Two judgements with the unlucky pause between them."""
    guard = Guard(Stage(Path(), models=models).settings(), http)
    async with http:
        first = await guard.judge_input("Hello.")
        await asyncio.sleep(PAUSE)
        return [first, await guard.judge_input("Hello.")]


async def test_a_judgement_after_a_pause_is_not_lost(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """What aiohttp does by itself is the control: it keeps connections for 15 s."""
    models.keep_alive = SCALE * KEEP_ALIVE_SECONDS
    assert await verdicts(models, aiohttp.ClientSession()) == [Verdict("safe"), Verdict("error")]
    assert engines.KEEP_ALIVE_SECONDS <= KEEP_ALIVE_SECONDS - 1
    monkeypatch.setattr(engines, "KEEP_ALIVE_SECONDS", SCALE * engines.KEEP_ALIVE_SECONDS)
    assert await verdicts(models, engines.client()) == [Verdict("safe"), Verdict("safe")]


def test_no_other_session_goes_to_an_engine() -> None:
    """The main process's unix socket, which aiohttp serves itself, is the one exception."""
    made = {
        path.name: re.findall(r"aiohttp\.ClientSession\(|http_context", path.read_text())
        for path in (AGENT / "voice_agent").glob("*.py")
    }
    assert {name for name, sessions in made.items() if sessions} == {"backstage.py", "engines.py"}
