"""A plan that does not fit: which wish, changed alone, makes it fit, and what that frees. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from voicestack.gpu.cards import CARDS
from voicestack.gpu.plan import SECOND_GPU, Plan, Wishes, make, most
from voicestack.gpu.units import GIB, gib

KEYS = {
    "stage0_sequences": "voxtral_stage0_sequences",
    "stage0_context": "voxtral_stage0_context",
    "stage0_eager": "voxtral_stage0_eager",
    "guard_sequences": "guard_sequences",
    "guard_context": "guard_context",
    "guard_eager": "guard_eager",
    "guard_placement": "guard_placement",
    "whisper_device": "agent_whisper_device",
    "headroom": "gpu_headroom_gib",
}
"""Field of Wishes -> setting."""

LEAST = {"stage0_sequences": 1, "guard_sequences": 1, "stage0_context": 512, "guard_context": 1024}
"""Below these a sentence of speech, or a conversation to judge, has no room."""

STEP = {"stage0_context": 256, "guard_context": 256}


@dataclass(frozen=True)
class Change:
    """One setting, from what to what, and the bytes it frees on the card that lacks most.

    `loss` orders changes: the part of the wish that is given up, from 0 to 1; above 1 are those that cost money.
    """

    setting: str
    old: object
    new: object
    frees: int
    loss: float

    def __str__(self) -> str:
        what = f"{self.setting}: {self.old} -> {self.new}"
        return f"{what} frees {gib(self.frees)}" if self.frees else what


def problems(plan: Plan) -> list[str]:
    """One line for each reason why the plan cannot be deployed, with the cheapest ways to fit; empty when it fits."""
    return [*_too_long(plan), *(_too_much(plan) if plan.shortfall else [])]


def changes(plan: Plan) -> list[Change]:
    """Every single change that makes the plan fit, the cheapest first."""
    return sorted(_changes(plan), key=lambda change: change.loss)


def _too_long(plan: Plan) -> list[str]:
    limits = {"stage0": plan.wishes.voxtral, "guard": plan.wishes.guard}
    return [
        f"{KEYS[f'{name}_context']}: {getattr(plan.wishes, f'{name}_context')} tokens are more than the model's own "
        f"{limits[name].dimensions.longest}; vLLM refuses to start"
        for name in plan.too_long
    ]


def _too_much(plan: Plan) -> list[str]:
    lines = []
    for index, card in enumerate(plan.cards):
        if card.shortfall:
            wanted = " + ".join(f"{process.name} {process.need.peak / GIB:.2f}" for process in card.processes)
            lines.append(
                f"{_first_key(plan, index)}: card {index} ({card.card.name}, {gib(card.card.usable)} usable) would "
                f"have to give {gib(card.shortfall)} more: {wanted} + headroom {card.headroom / GIB:.2f} = "
                f"{gib(card.peak + card.headroom)}; {_ways(plan)}"
            )
    return lines


def _first_key(plan: Plan, index: int) -> str:
    """The settings that take most of that card."""
    on_card = {process.name for process in plan.cards[index].processes}
    keys = ["voxtral_stage0_sequences"] if plan.stage0.name in on_card else []
    if plan.guard is not None and plan.guard.name in on_card:
        keys.append("guard_sequences")
    largest = {
        "voxtral_stage0_sequences": plan.stage0.need.kv_cache,
        "guard_sequences": plan.guard.need.kv_cache if plan.guard else 0,
    }
    return max(keys, key=lambda key: largest[key])


def _ways(plan: Plan) -> str:
    found = changes(plan)
    if not found:
        return "no single setting makes it fit: put the guard on another card or host and ask for fewer sequences"
    return "cheapest first, any one of these fits: " + "; ".join(str(change) for change in found)


def _changes(plan: Plan) -> Iterator[Change]:
    wishes = plan.wishes
    for field, least in LEAST.items():
        largest = _largest(wishes, field)
        if largest >= least:
            yield _change(plan, field, largest, loss=1 - largest / getattr(wishes, field))
    for field in ("stage0_eager", "guard_eager"):
        if not getattr(wishes, field) and _fits(wishes, field, True):
            yield _change(plan, field, True, loss=0.5)
    if wishes.whisper_device == "cuda" and _fits(wishes, "whisper_device", "cpu"):
        yield _change(plan, "whisper_device", "cpu", loss=0.9)
    if wishes.guard_placement == "gpu0" and _fits(wishes, "guard_placement", SECOND_GPU):
        yield _change(plan, "guard_placement", SECOND_GPU, loss=2)
    for card in sorted(CARDS.values(), key=lambda card: card.usable):
        if card.usable > wishes.card.usable and make(replace(wishes, card=card)).fits:
            yield Change("gpu_card", wishes.card.name, card.name, 0, loss=3)
            return


def _largest(wishes: Wishes, field: str) -> int:
    """The largest value below the wish with which all fits, in whole steps; 0: none."""
    step = STEP.get(field, 1)
    return step * most((getattr(wishes, field) - 1) // step, lambda count: _fits(wishes, field, count * step))


def _fits(wishes: Wishes, field: str, value: Any) -> bool:
    return make(replace(wishes, **{field: value})).fits


def _change(plan: Plan, field: str, value: Any, *, loss: float) -> Change:
    after = make(replace(plan.wishes, **{field: value}))
    worst = max(range(len(plan.cards)), key=lambda index: plan.cards[index].shortfall)
    frees = plan.cards[worst].peak - after.cards[worst].peak
    return Change(KEYS[field], getattr(plan.wishes, field), value, frees, loss)
