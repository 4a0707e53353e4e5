"""Which processes share which card, what each asks for, and whether all of it fits. Pure.

A card fits when its processes' peaks and the headroom are within what is usable, and when each vLLM process, started
last or again while all others run, finds free what its start-up check asks for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from voicestack.gpu.cards import Card
from voicestack.gpu.dimensions import Dimensions
from voicestack.gpu.memory import STAGE_1, Engine, Need, requested, utilisation_for, whisper_on_card
from voicestack.gpu.units import MIB

Device = Literal["cpu", "cuda"]

MOST_SEQUENCES = 512
"""Where the search for the most callers ends."""

SECOND_GPU = "gpu1"


@dataclass(frozen=True)
class Model:
    """What is known of a model before it runs; `weights` in bytes."""

    weights: int
    dimensions: Dimensions


@dataclass(frozen=True)
class Wishes:
    """What the operator asks for. Bytes; contexts in tokens.

    Attributes:
        guard_placement: "gpu0", "gpu1", or the address of a guard on another host.
        whisper_file: bytes of Whisper's model.bin, whose weights are float16.
        whisper_device: "auto" is the card where it fits beside the others, else the CPU.
        sessions: calls at once; None: as many as the plan carries.
    """

    card: Card
    headroom: int
    voxtral: Model
    stage0_sequences: int
    stage0_context: int
    stage0_eager: bool
    guard: Model
    guard_sequences: int
    guard_context: int
    guard_eager: bool
    guard_placement: str
    whisper_file: int
    whisper_device: Device | Literal["auto"]
    sessions: int | None

    @property
    def guard_is_here(self) -> bool:
        """Whether this host runs the guard."""
        return self.guard_placement in ("gpu0", SECOND_GPU)


@dataclass(frozen=True)
class Process:
    """One process on a card; `utilisation` is vLLM's share (None: not vLLM)."""

    name: str
    need: Need
    utilisation: float | None

    @property
    def kv_cache_bytes(self) -> int:
        """For vLLM's kv_cache_memory_bytes."""
        return self.need.kv_cache

    @property
    def mib(self) -> int:
        """Its peak in MiB, rounded up: what must be free before it starts."""
        return -(-self.need.peak // MIB)


@dataclass(frozen=True)
class CardPlan:
    """The processes on one card."""

    card: Card
    processes: tuple[Process, ...]
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
        lacks = [self.headroom - self.free]
        for process in self.processes:
            if process.utilisation is not None:
                others = self.peak - process.need.peak
                asked = requested(self.card, process.utilisation)
                lacks.append(others + process.need.context + asked - self.card.usable)
        return max(0, *lacks)


@dataclass(frozen=True)
class Plan:
    """The answer: what runs where, with how much.

    Attributes:
        cards: by index; the second one only with a guard on it.
        guard: None when it is on another host.
        too_long: "stage0" and "guard", where the context is longer than the model's own limit.
    """

    wishes: Wishes
    cards: tuple[CardPlan, ...]
    stage0: Process
    stage1: Process
    guard: Process | None
    whisper_device: Device
    too_long: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether vLLM starts and the headroom stays."""
        return not self.too_long and not any(card.shortfall for card in self.cards)

    @property
    def shortfall(self) -> int:
        """Bytes too many, on the card that lacks most."""
        return max(card.shortfall for card in self.cards)

    @property
    def callers(self) -> int:
        """The most concurrent callers that the memory carries, each with a sequence of both engines; 0: none."""
        return most(MOST_SEQUENCES, lambda count: make(_for_callers(self.wishes, count, self.whisper_device)).fits)


def on_other_card(plan: Plan, card: Card) -> Plan:
    """The same processes, Whisper's place included, on a card that turned out to be another."""
    return make(replace(plan.wishes, card=card, whisper_device=plan.whisper_device))


def make(wishes: Wishes) -> Plan:
    """The plan for these wishes, whether it fits or not."""
    if wishes.whisper_device != "auto":
        return _with_whisper(wishes, wishes.whisper_device)
    beside = _with_whisper(wishes, "cuda")
    return beside if beside.fits else _with_whisper(wishes, "cpu")


def engines(wishes: Wishes) -> tuple[Engine, Engine]:
    """Voxtral's first stage (its stage file turns chunked prefill off) and the guard."""
    return (
        Engine(
            wishes.voxtral.weights,
            wishes.voxtral.dimensions,
            wishes.stage0_sequences,
            wishes.stage0_context,
            wishes.stage0_eager,
            chunked=False,
        ),
        Engine(
            wishes.guard.weights,
            wishes.guard.dimensions,
            wishes.guard_sequences,
            wishes.guard_context,
            wishes.guard_eager,
            chunked=True,
        ),
    )


def most(limit: int, fits: Callable[[int], bool]) -> int:
    """The largest count up to `limit` that fits, if fewer always fit when more do; 0: none."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _with_whisper(wishes: Wishes, device: Device) -> Plan:
    speech, judge = engines(wishes)
    stage0 = _process("vllm-voxtral stage 0", speech.with_cache(wishes.card), wishes.card)
    stage1 = _process("vllm-voxtral stage 1", Need(other=STAGE_1), wishes.card)
    guard = _process("vllm-guard", judge.with_cache(wishes.card), wishes.card) if wishes.guard_is_here else None
    whisper = Process("whisper (voice-agent)", whisper_on_card(wishes.whisper_file), None)
    first = [stage0, stage1, *([whisper] if device == "cuda" else [])]
    cards = [first]
    if guard is not None and wishes.guard_placement == SECOND_GPU:
        cards.append([guard])
    elif guard is not None:
        first.insert(2, guard)
    return Plan(
        wishes=wishes,
        cards=tuple(CardPlan(wishes.card, tuple(processes), wishes.headroom) for processes in cards),
        stage0=stage0,
        stage1=stage1,
        guard=guard,
        whisper_device=device,
        too_long=_too_long(wishes),
    )


def _process(name: str, need: Need, card: Card) -> Process:
    return Process(name, need, utilisation_for(card, need))


def _too_long(wishes: Wishes) -> tuple[str, ...]:
    pairs = [("stage0", wishes.stage0_context, wishes.voxtral)]
    if wishes.guard_is_here:
        pairs.append(("guard", wishes.guard_context, wishes.guard))
    return tuple(name for name, context, model in pairs if context > model.dimensions.longest)


def _for_callers(wishes: Wishes, count: int, device: Device) -> Wishes:
    return replace(wishes, stage0_sequences=count, guard_sequences=count, whisper_device=device)
