"""How the probes' program ends; LiveKit's client, which only the agent's image has, is a stand-in here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
