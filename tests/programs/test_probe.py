"""How the probes' program ends; LiveKit's client, which only the agent's image has, is a stand-in here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import atexit
import sys
from unittest.mock import MagicMock
for name in ("aiohttp", "livekit"):
    sys.modules[name] = MagicMock()
from on_host.verify import probe
probe.Request = MagicMock()
atexit.register(print, "the interpreter came to its own end")
async def run(request):
    print("an event")
    {then}
probe.run = run
probe.main()
"""


def ended(then: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(then=then)],
        cwd=ROOT,
        input="{}\n",
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_call_that_went_well_is_not_lost_by_how_the_interpreter_ends() -> None:
    """A thread of LiveKit's that calls into Python during that end aborts the program."""
    run = ended("return")
    assert (run.returncode, run.stdout, run.stderr) == (0, "an event\n", "")


def test_what_went_wrong_is_the_last_line() -> None:
    run = ended("raise ConnectionError('the line is dead')")
    assert (run.returncode, run.stdout) == (1, "an event\n")
    assert run.stderr.splitlines()[-1] == "ConnectionError: the line is dead"


SILENT_ABOUT_ITS_TURNS = """
import asyncio
import sys
from types import SimpleNamespace
from unittest.mock import MagicMock
for name in ("aiohttp", "livekit"):
    sys.modules[name] = MagicMock()
from on_host.verify import conversation
async def never(number):
    await asyncio.sleep(60)
sound = {sound}
call = SimpleNamespace(turn_number=never, take_texts=lambda: ("", ""), heard_since=lambda moment: sound)
try:
    asyncio.run(conversation._turn(call, 1, 0.0, SimpleNamespace(patience_s=0.1, transcripts=True)))
except conversation.FailureError as error:
    print(error.detail, error.cause)
"""


@pytest.mark.parametrize(
    ("sound", "said"),
    [("bytes([0, 64]) * 24_000", "speaks, but no voice.turn message came"), ('b""', "no transcript within 0.1 s")],
    ids=["heard", "not heard"],
)
def test_an_agent_that_speaks_and_reports_no_turn_is_told_to(sound: str, said: str) -> None:
    """It may be the owner's own; ours without a report has a leg that broke."""
    words = [sys.executable, "-c", SILENT_ABOUT_ITS_TURNS.format(sound=sound)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert said in done.stdout
    assert ("docs/agent.md" in done.stdout) is ("speaks" in said)
