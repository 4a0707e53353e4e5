"""Memory of the agent's processes and latency of each leg: `cd agent && .venv/bin/python tests/measure.py`.

Stand-ins answer for the three services at once, so the legs are the agent's own time plus Whisper's.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import psutil

from caller import Caller, calling, unique
from stands import Stage

TURNS = 5
QUESTION = "Where does the elephant live?"


def memory(stage: Stage) -> list[tuple[str, float]]:
    """Each process of the agent and its proportional share of memory, in MiB: shared pages are counted once."""
    assert stage.agent
    main = psutil.Process(stage.agent.pid)
    found = []
    for process in [main, *main.children(recursive=True)]:
        line = " ".join(process.cmdline())
        kind = "main" if process == main else "forkserver" if process.ppid() == main.pid else "job"
        kind = "resource tracker" if "resource_tracker" in line else kind
        found.append((kind, process.memory_full_info().pss / 2**20))
    return found


def report(title: str, stage: Stage) -> None:
    rows = memory(stage)
    parts = ", ".join(f"{kind} {size:.0f}" for kind, size in rows)
    sys.stdout.write(f"{title}: {sum(size for _, size in rows):.0f} MiB ({parts})\n")


async def turns(caller: Caller, first: int, count: int) -> list[dict[str, int]]:
    legs = []
    for number in range(first, first + count):
        await caller.ready()
        caller.say(QUESTION)
        legs.append((await caller.turn(number))["legs_ms"])
    return legs


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        stage = Stage(Path(directory), overrides={"AGENT_MAX_SESSIONS": "4", "GUARD_DEADLINE_MS": "5000"})
        stage.models.behave()
        await stage.models.start()
        await stage.start_livekit()
        await stage.start_agent()
        try:
            await stage.until_healthy()
            report("idle", stage)
            async with AsyncExitStack() as calls:
                one = await calls.enter_async_context(calling(stage, unique("one")))
                legs = await turns(one, 1, TURNS)
                report("one call", stage)
                for leg in legs[0]:
                    values = sorted(turn[leg] for turn in legs)
                    sys.stdout.write(f"  {leg}: median {statistics.median(values):.0f} ms, all {values}\n")
                two = await calls.enter_async_context(calling(stage, unique("two")))
                await asyncio.gather(turns(one, TURNS + 1, 1), turns(two, 1, 1))
                report("two calls", stage)
        finally:
            stage.agent = None if stage.agent is None else await _stopped(stage)
            await stage.close()


async def _stopped(stage: Stage) -> None:
    assert stage.agent
    await stage.agent.stop()


if __name__ == "__main__":
    asyncio.run(main())
