"""The plan as text for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from voicestack.gpu import advice
from voicestack.gpu.cards import Measured
from voicestack.gpu.plan import CardPlan, GpuProcess, MemoryPlan
from voicestack.gpu.ram import host_memory
from voicestack.gpu.speed import recognition_s, sessions
from voicestack.gpu.units import GIB, MIB, gib

COLUMNS = ("weights", "kv_cache", "activations", "graphs", "libraries", "context", "other")
"""Of what a process needs, in the table's order."""


def table(plan: MemoryPlan, measured: Sequence[Measured] = ()) -> str:
    """Everything the plan says, with what was measured on the same cards; ends in a newline."""
    lines = [line for index, card in enumerate(plan.cards) for line in _card(index, card, measured[index : index + 1])]
    memory = host_memory(plan)
    parts = ", ".join(f"{name} {part / GIB:.2f}" for name, part in memory.parts.items() if part)
    seconds = recognition_s(plan.whisper_device, plan.wishes.whisper_file)
    lines += [
        f"RAM: {gib(memory.total)} ({parts}); the page cache gives way",
        f"Whisper: on {'the card' if plan.whisper_device == 'cuda' else 'the CPU'}, about {seconds:.1f} s an utterance "
        "(voicestack/gpu/speed.py says where from)",
        f"Callers: the agent takes {sessions(plan)} at once; the memory would do for {plan.callers}",
        "",
        *([f"NOT POSSIBLE: {problem}" for problem in advice.problems(plan)] or ["The plan fits."]),
    ]
    return "\n".join(lines) + "\n"


def _card(index: int, plan: CardPlan, measured: Sequence[Measured]) -> list[str]:
    card, rest = plan.card, plan.at_rest / MIB
    lines = [
        f"GPU {index}: {card.name}, {card.total_mib:,} MiB in nvidia-smi, {gib(card.usable)} for CUDA programs",
        f"{'GiB':<24}{''.join(f'{name:>12}' for name in COLUMNS)}{'peak':>9}{'ask for':>9}",
        *map(_row, plan.processes),
        f"all at the peak: {gib(plan.peak)}; free then: {gib(plan.free)} (wanted: {gib(plan.headroom)})",
        f"nvidia-smi should show {rest:,.0f} MiB used while nobody speaks",
    ]
    for total, used in measured:
        beside = f"{abs(used / rest - 1):.1%} {'above' if used > rest else 'below'}"
        lines.append(f"nvidia-smi shows {used:,} of {total:,} MiB: {beside} the plan")
    return [*lines, ""]


def _row(process: GpuProcess) -> str:
    parts = [getattr(process.need, column) / GIB for column in COLUMNS]
    figures = "".join(f"{part:>12.2f}" if part else " " * 12 for part in parts)
    asked = f"{process.utilisation or 0:>9.3f}"
    return f"{process.name:<24}{figures}{process.need.peak / GIB:>9.2f}{asked if process.utilisation else ''}"
