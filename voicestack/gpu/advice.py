"""A plan that does not fit: which setting, changed alone, makes it fit, and what that frees. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from voicestack.gpu.plan import SECOND_GPU, CardPlan, MemoryPlan, Wishes, make, most
from voicestack.gpu.units import GIB, gib

SECTIONS = {"stage0": "voxtral_stage0", "guard": "guard"}
"""An engine of Wishes -> what its settings begin with."""

LEAST = {("stage0", "sequences"): 1, ("guard", "sequences"): 1, ("stage0", "context"): 512, ("guard", "context"): 1024}
"""Below these a sentence of speech, or a conversation to judge, has no room."""

STEP = {"sequences": 1, "context": 256}


@dataclass(frozen=True)
class Remedy:
    """One setting, from what to what, and the bytes it frees on the card that lacks most.

    `loss` orders them: the part of the wish that is given up, from 0 to 1; above 1 are those that cost money.
    """

    setting: str
    old: object
    new: object
    frees: int
    loss: float

    def __str__(self) -> str:
        return f"{self.setting}: {self.old} -> {self.new} frees {gib(self.frees)}"


def problems(plan: MemoryPlan) -> list[str]:
    """One line for each reason why the plan cannot be deployed, with the cheapest ways to fit; empty when it fits."""
    lines = [
        f"{SECTIONS[name]}_context: {engine.context} tokens are more than the model's own "
        f"{engine.dimensions.longest}; vLLM refuses to start"
        for name, engine in plan.wishes.engines.items()
        if engine.is_too_long
    ]
    for index, card in enumerate(plan.cards):
        if card.shortfall:
            wanted = " + ".join(f"{process.name} {process.need.peak / GIB:.2f}" for process in card.processes)
            lines.append(
                f"{_most_wanted(plan, card)}: card {index} ({card.card.name}, {gib(card.card.usable)} usable) would "
                f"have to give {gib(card.shortfall)} more: {wanted} + headroom {card.headroom / GIB:.2f} = "
                f"{gib(card.peak + card.headroom)}; {_ways(plan)}"
            )
    return lines


def remedies(plan: MemoryPlan) -> list[Remedy]:
    """Every setting that alone makes the plan fit, the cheapest first."""
    worst = max(range(len(plan.cards)), key=lambda index: plan.cards[index].shortfall)
    found = []
    for setting, old, new, loss, wishes in _changes(plan.wishes):
        after = make(wishes)
        if after.fits:
            found.append(Remedy(setting, old, new, plan.cards[worst].peak - after.cards[worst].peak, loss))
    return sorted(found, key=lambda remedy: remedy.loss)


def _most_wanted(plan: MemoryPlan, card: CardPlan) -> str:
    """The setting whose sequences take most of that card."""
    caches = {
        f"{SECTIONS[name]}_sequences": process.need.kv_cache
        for name, process in (("stage0", plan.stage0), ("guard", plan.guard))
        if process in card.processes and process is not None
    }
    return max(caches, key=lambda setting: caches[setting])


def _ways(plan: MemoryPlan) -> str:
    if found := remedies(plan):
        return "cheapest first, any one of these fits: " + "; ".join(str(remedy) for remedy in found)
    return (
        "no single setting makes it fit: put the guard on another card or host, take a larger card (gpu_card), or ask "
        "for fewer sequences"
    )


def _changes(wishes: Wishes) -> Iterator[tuple[str, object, object, float, Wishes]]:
    """Setting, its value, another one, what that loses, and the wishes with it."""
    for (name, field), least in LEAST.items():
        if name in wishes.engines:
            old = getattr(wishes.engines[name], field)
            new = _largest(wishes, name, field)
            if new >= least:
                yield f"{SECTIONS[name]}_{field}", old, new, 1 - new / old, _with(wishes, name, field, new)
    for name, engine in wishes.engines.items():
        if not engine.eager:
            yield f"{SECTIONS[name]}_eager", False, True, 0.5, _with(wishes, name, "eager", True)
    if wishes.whisper_device == "cuda":
        yield "agent_whisper_device", "cuda", "cpu", 0.9, replace(wishes, whisper_device="cpu")
    if wishes.guard_placement == "gpu0":
        yield "guard_placement", "gpu0", SECOND_GPU, 2, replace(wishes, guard_placement=SECOND_GPU)


def _largest(wishes: Wishes, name: str, field: str) -> int:
    """The largest value below the wish with which all fits, in whole steps; 0: none."""
    step, old = STEP[field], getattr(wishes.engines[name], field)
    return step * most((old - 1) // step, lambda count: make(_with(wishes, name, field, count * step)).fits)


def _with(wishes: Wishes, name: str, field: str, value: Any) -> Wishes:
    engine = replace(wishes.engines[name], **{field: value})
    return replace(wishes, stage0=engine) if name == "stage0" else replace(wishes, guard=engine)
