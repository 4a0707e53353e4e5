"""Which processes share which card, what each asks for, and whether all of it fits. Pure.

A card fits when its processes' peaks and the headroom are within what is usable, and when each vLLM process, started
last or again while all others run, finds free what its start-up check asks for.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from voicestack.gpu.cards import GpuCard
from voicestack.gpu.memory import STAGE_1, WHISPER_OF_FILE, Engine, Need, requested
from voicestack.gpu.units import MIB

Device = Literal["cpu", "cuda"]

SECOND_GPU = "gpu1"


@dataclass(frozen=True)
class Wishes:
    """What the operator asks for, in bytes.

    Attributes:
        stage0: Voxtral's first stage.
        guard_placement: "gpu0", "gpu1", or the address of a guard on another host.
        whisper_file: bytes of Whisper's model.bin, whose weights are float16.
        whisper_device: "auto" is the card where it fits beside the others, else the CPU.
        sessions: calls at once; None: as many as the plan carries.
    """

    card: GpuCard
    headroom: int
    stage0: Engine
    guard: Engine
    guard_placement: str
    whisper_file: int
    whisper_device: Device | Literal["auto"]
    sessions: int | None

    @property
    def engines(self) -> dict[str, Engine]:
        """Those on this host, by their names here."""
        here = {"guard": self.guard} if self.guard_placement in ("gpu0", SECOND_GPU) else {}
        return {"stage0": self.stage0, **here}


@dataclass(frozen=True)
class GpuProcess:
    """One process on a card; `utilisation` is vLLM's share (None: not vLLM)."""

    name: str
    need: Need
    utilisation: float | None = None

    @property
    def mib(self) -> int:
        """Its peak in MiB, rounded up: what must be free before it starts."""
        return math.ceil(self.need.peak / MIB)


@dataclass(frozen=True)
class CardPlan:
    """The processes on one card."""

    card: GpuCard
    processes: tuple[GpuProcess, ...]
    headroom: int

    @property
    def peak(self) -> int:
        """All processes at their most."""
        return sum(process.need.peak for process in self.processes)

    @property
    def at_rest(self) -> int:
        """What nvidia-smi will show as used, in bytes."""
        return sum(process.need.at_rest for process in self.processes)

    @property
    def free(self) -> int:
        """What stays free at the most; negative when it does not fit."""
        return self.card.usable - self.peak

    @property
    def shortfall(self) -> int:
        """Bytes that would have to give; 0 when it fits."""
        starts = [
            requested(self.card, process.utilisation) - (self.free + process.need.budget)
            for process in self.processes
            if process.utilisation is not None
        ]
        return max(0, self.headroom - self.free, *starts)


@dataclass(frozen=True)
class MemoryPlan:
    """The answer: what runs where, with how much.

    Attributes:
        cards: by index; the second one only with a guard on it.
        guard: None when it is on another host.
    """

    wishes: Wishes
    cards: tuple[CardPlan, ...]
    stage0: GpuProcess
    stage1: GpuProcess
    guard: GpuProcess | None
    whisper_device: Device

    @property
    def fits(self) -> bool:
        """Whether vLLM starts and the headroom stays."""
        return not self.shortfall and not any(engine.is_too_long for engine in self.wishes.engines.values())

    @property
    def shortfall(self) -> int:
        """Bytes too many, on the card that lacks most."""
        return max(card.shortfall for card in self.cards)

    @property
    def callers(self) -> int:
        """The most callers (up to 512) that the memory carries, each with a sequence of both engines; 0: none."""
        wishes = replace(self.wishes, whisper_device=self.whisper_device)

        def carries(count: int) -> bool:
            stage0, guard = (replace(engine, sequences=count) for engine in (wishes.stage0, wishes.guard))
            return make(replace(wishes, stage0=stage0, guard=guard)).fits

        return most(512, carries)


def on_other_card(plan: MemoryPlan, card: GpuCard) -> MemoryPlan:
    """The same processes, Whisper's place included, on a card that turned out to be another."""
    return make(replace(plan.wishes, card=card, whisper_device=plan.whisper_device))


def make(wishes: Wishes) -> MemoryPlan:
    """The plan for these wishes, whether it fits or not."""
    if wishes.whisper_device != "auto":
        return _with_whisper(wishes, wishes.whisper_device)
    beside = _with_whisper(wishes, "cuda")
    return beside if beside.fits else _with_whisper(wishes, "cpu")


def most(limit: int, fits: Callable[[int], bool]) -> int:
    """The largest count up to `limit` that fits, if fewer always fit when more do; 0: none."""
    return bisect_left(range(1, limit + 1), True, key=lambda count: not fits(count))


def _with_whisper(wishes: Wishes, device: Device) -> MemoryPlan:
    card = wishes.card
    stage0 = _vllm("vllm-voxtral stage 0", wishes.stage0.need(card), card)
    stage1 = _vllm("vllm-voxtral stage 1", Need(other=STAGE_1), card)
    guard = _vllm("vllm-guard", wishes.guard.need(card), card) if "guard" in wishes.engines else None
    whisper = GpuProcess("whisper (voice-agent)", Need(other=int(wishes.whisper_file * WHISPER_OF_FILE)))
    second = [guard] if guard and wishes.guard_placement == SECOND_GPU else []
    first = [stage0, stage1, *([guard] if guard and not second else []), *([whisper] if device == "cuda" else [])]
    cards = tuple(CardPlan(card, tuple(each), wishes.headroom) for each in (first, second) if each)
    return MemoryPlan(wishes, cards, stage0, stage1, guard, device)


def _vllm(name: str, need: Need, card: GpuCard) -> GpuProcess:
    """It asks for what it will allocate, rounded up to a thousandth of the card."""
    return GpuProcess(name, need, math.ceil(need.budget / card.usable * 1000) / 1000)
