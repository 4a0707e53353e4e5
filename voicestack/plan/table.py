"""The plan as text for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from voicestack.gpu import advice
from voicestack.gpu.measured import Measured
from voicestack.gpu.memory import Need
from voicestack.gpu.plan import CardPlan, Plan
from voicestack.gpu.speed import recognition_s
from voicestack.gpu.units import GIB, MIB, gib
from voicestack.settings.memory import host_memory, sessions

COLUMNS = ("weights", "kv_cache", "activations", "graphs", "libraries", "context", "other")
"""Of Need, in the table's order."""

WIDTH = 24


def table(plan: Plan, measured: Sequence[Measured] = (), price: float = 0) -> str:
    """Everything the plan says, with what was measured on the same cards; ends in a newline.

    `price` is what an hour of the host costs, in whatever money; 0: not known.
    """
    lines: list[str] = []
    for index, card in enumerate(plan.cards):
        lines += [*_card(index, card), *_compared(card, measured[index : index + 1]), ""]
    lines += [*_host(plan), "", *_callers(plan), *_price(plan, price), ""]
    lines += [f"NOT POSSIBLE: {problem}" for problem in advice.problems(plan)] or ["The plan fits."]
    return "\n".join(lines) + "\n"


def _card(index: int, plan: CardPlan) -> list[str]:
    card = plan.card
    rows = [(process.name, process.need, process.utilisation) for process in plan.processes]
    shown = [name for name in COLUMNS if any(getattr(need, name) for _, need, _ in rows)]
    heads = " ".join(f"{name.replace('_', ' '):>11}" for name in shown)
    return [
        f"GPU {index}: {card.name}, {card.total_mib:,} MiB in nvidia-smi, of which CUDA programs can have "
        f"{gib(card.usable)}",
        f"{'GiB':<{WIDTH}} {heads} {'peak':>11} {'ask for':>9}",
        *(_row(name, need, shown, asked) for name, need, asked in rows),
        f"{'all':<{WIDTH}} {' ' * (12 * len(shown) - 1)} {plan.peak / GIB:>11.2f}",
        f"free at the peak: {gib(plan.free)} (wanted: {gib(plan.headroom)})",
    ]


def _row(name: str, need: Need, shown: Sequence[str], asked: float | None) -> str:
    parts = (getattr(need, column) for column in shown)
    figures = " ".join(f"{part / GIB:>11.2f}" if part else f"{'':>11}" for part in parts)
    return f"{name:<{WIDTH}} {figures} {need.peak / GIB:>11.2f} {'' if asked is None else f'{asked:.3f}':>9}".rstrip()


def _compared(plan: CardPlan, measured: Sequence[Measured]) -> list[str]:
    expected = plan.at_rest / MIB
    lines = [f"nvidia-smi should show {expected:,.0f} MiB used while nobody speaks"]
    for found in measured:
        beside = f"{abs(found.used_mib / expected - 1):.1%} {'above' if found.used_mib > expected else 'below'}"
        lines.append(f"nvidia-smi shows {found.used_mib:,} of {found.total_mib:,} MiB: {beside} the plan")
    return lines


def _host(plan: Plan) -> list[str]:
    memory = host_memory(plan)
    parts = ", ".join(f"{name} {part / GIB:.2f}" for name, part in memory.parts.items() if part)
    return [f"RAM: {gib(memory.total)} ({parts}); the page cache gives way"]


def _callers(plan: Plan) -> list[str]:
    seconds = recognition_s(plan.whisper_device, plan.wishes.whisper_file)
    return [
        f"Whisper: on {'the card' if plan.whisper_device == 'cuda' else 'the CPU'}, about {seconds:.1f} s an utterance "
        "(voicestack/gpu/speed.py says where from)",
        f"Callers: the agent takes {sessions(plan)} at once; the memory would do for {plan.callers}",
    ]


def _price(plan: Plan, price: float) -> list[str]:
    calls = sessions(plan)
    if not price:
        return []
    return [f"Price: {price:.2f} an hour are {price / calls:.2f} for each of {calls} calls at once"]
