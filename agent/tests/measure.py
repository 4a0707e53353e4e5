"""How many calls this machine holds, and what they cost: `cd agent && .venv/bin/python tests/measure.py [CALLS ...]`.

Every call asks the same question at the same moment, over and over: the worst that callers can do. The replies are a
tone, so that each hole in it can be heard. Stand-ins answer for the three services at once, so the legs are the agent's
own time plus Whisper's. SFU, callers and stand-ins share the cores with the agent, which makes the number of calls a
low one; the last columns say what part of them was the agent's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from livekit import rtc

from caller import Caller, calling, unique
from speech import overlap
from stands import Stage, agent_track, until

CALLS = (1, 2, 3, 4, 6, 8)
ROUNDS = 3
LEGS = ("transcript", "turn", "first_token", "guard", "first_audio", "reply")
TONE_SECONDS = 4.0
QUESTION = "Where does the elephant live?"
# Above one sample in a hundred made up by the receiver, or a twentieth of the tone missing, people notice.
CONCEALED = 0.01
MISSING = 0.05


@dataclass
class Heard:
    """What one caller got in one round: share of made-up samples, seconds of tone, share of words understood, times."""

    concealed: float = 0
    seconds: float = 0
    understood: float = 0
    legs_ms: dict[str, int] = field(default_factory=dict)

    @property
    def dropped(self) -> bool:
        return self.concealed > CONCEALED or self.seconds < TONE_SECONDS * (1 - MISSING)


class Burner:
    """CPU seconds of the agent's processes, of the SFU and of this process, since it was made."""

    def __init__(self, stage: Stage) -> None:
        assert stage.livekit
        self._who = {
            "agent": family(stage),
            "sfu": [psutil.Process(stage.livekit.pid)],
            "callers": [psutil.Process(os.getpid())],
        }
        self._before = self._read()
        self._started = time.monotonic()

    def _read(self) -> dict[str, float]:
        return {name: sum(map(_cpu, processes)) for name, processes in self._who.items()}

    def cores(self) -> list[float]:
        """Cores each kept busy on average."""
        wall = time.monotonic() - self._started
        return [(now - self._before[name]) / wall for name, now in self._read().items()]


def family(stage: Stage) -> list[psutil.Process]:
    assert stage.agent
    main = psutil.Process(stage.agent.pid)
    return [main, *main.children(recursive=True)]


def _cpu(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def memory(stage: Stage) -> str:
    """The agent's processes together, in MiB: shared pages are counted once (PSS)."""
    return f"{sum(process.memory_full_info().pss for process in family(stage)) / 2**20:.0f}"


async def samples(track: rtc.Track) -> tuple[int, int]:
    """Received so far, and how many of them were made up to fill holes that were not silent."""
    for each in await track.get_stats():
        if each.HasField("inbound_rtp"):
            inbound = each.inbound_rtp.inbound
            return inbound.total_samples_received, inbound.concealed_samples - inbound.silent_concealed_samples
    return 0, 0


async def ask(caller: Caller, track: rtc.Track, number: int) -> Heard:
    try:
        await caller.state("listening")
        mark, words = caller.mark(), len(caller.transcripts["caller"])
        before = await samples(track)
        caller.say(QUESTION)
        legs = (await caller.turn(number))["legs_ms"]
    except AssertionError:  # not within the patience of the tests
        return Heard()
    after = await samples(track)
    said = " ".join(caller.transcripts["caller"][words:])
    return Heard(
        concealed=(after[1] - before[1]) / max(1, after[0] - before[0]),
        seconds=caller.loud_seconds(mark),
        understood=overlap(QUESTION, said),
        legs_ms=legs,
    )


async def measure(stage: Stage, count: int) -> list[str]:
    """The cells of one line, for `count` calls at once."""
    async with contextlib.AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(calling(stage, unique(f"call-{n}"))) for n in range(count)]
        tracks = await asyncio.gather(*(agent_track(caller.room) for caller in callers))
        await asyncio.gather(*(caller.ready() for caller in callers))
        burner = Burner(stage)
        heard = []
        for number in range(1, ROUNDS + 1):
            asking = (ask(caller, track, number) for caller, track in zip(callers, tracks, strict=True))
            heard += await asyncio.gather(*asking)
        cores, mebibytes = burner.cores(), memory(stage)
    return [
        str(count),
        f"{sum(each.dropped for each in heard)} of {len(heard)}",
        f"{max(each.concealed for each in heard):.2%}",
        f"{min(each.seconds for each in heard):.1f}",
        f"{statistics.mean(each.understood for each in heard):.0%}",
        *(spread([each.legs_ms.get(leg, 0) for each in heard]) for leg in LEGS),
        mebibytes,
        *(f"{each:.2f}" for each in cores),
    ]


def spread(values: list[int]) -> str:
    return f"{statistics.median(values):.0f} / {max(values)}"


@contextlib.asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    with tempfile.TemporaryDirectory() as directory:
        overrides = {"AGENT_MAX_SESSIONS": "64", "GUARD_DEADLINE_MS": "5000", "WHISPER_THREADS": "2"}
        stage = Stage(Path(directory), overrides=overrides)
        stage.models.behave()
        stage.models.tone_seconds = TONE_SECONDS
        await stage.models.start()
        await stage.start_livekit()
        agent = await stage.start_agent()
        try:
            await stage.until_healthy()
            yield stage
        finally:
            await agent.stop()
            stage.agent = None
            await stage.close()


HEAD = (
    *("calls", "replies with holes", "made up, worst", "tone heard (s), least", "question understood"),
    *LEGS,
    *("memory (MiB)", "agent", "SFU", "callers, stand-ins"),
)


def line(cells: Sequence[str]) -> None:
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


async def main(counts: tuple[int, ...]) -> None:
    sys.stdout.write(f"{os.cpu_count()} cores; {ROUNDS} rounds; times in ms, median / worst; cores kept busy\n")
    async with staged() as stage:
        sys.stdout.write(f"idle: {memory(stage)} MiB\n")
        line(HEAD)
        line(len(HEAD) * ["---"])

        async def over() -> bool:
            return "voice_sessions 0.0" in await stage.metrics()

        for count in counts:
            line(await measure(stage, count))
            await until(over, "the calls are over")


if __name__ == "__main__":
    asyncio.run(main(tuple(map(int, sys.argv[1:])) or CALLS))
