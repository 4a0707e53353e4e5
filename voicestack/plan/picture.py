"""The plan as a picture: a bar for each card, one for what was measured on it. Pure and deterministic: SVG as text."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from voicestack.gpu.cards import Measured
from voicestack.gpu.plan import CardPlan, MemoryPlan
from voicestack.gpu.units import GIB, MIB

WIDTH, MARGIN, BAR, ROW = 960, 20, 46, 96
LOOKS = {
    "vllm-voxtral stage 0": ("Voxtral", "#2b6cb0"),
    "vllm-voxtral stage 1": ("codec", "#4c8fc7"),
    "vllm-guard": ("Guard", "#b7791f"),
    "whisper (voice-agent)": ("Whisper", "#2f855a"),
}
"""Process -> its short name and colour."""

FREE, DRIVER, MEASURED, INK = "#edf2f7", "#a0aec0", "#9b2c2c", "#1a202c"
LETTER = 7
"""Pixels a letter of the small text takes, a little more than most do."""

Part = tuple[str, int, str]
"""A stretch of a bar: what it is, how many bytes, its colour."""


def svg(plan: MemoryPlan, measured: Sequence[Measured] = (), when: str = "measured") -> str:
    """An SVG document; `when` names the measurement."""
    bars = [bar for index, card in enumerate(plan.cards) for bar in _bars(index, card, measured, when)]
    scale = (WIDTH - 2 * MARGIN) / max(sum(size for _, size, _ in parts) for _, parts in bars)
    height = ROW * len(bars) + 64
    size = f'width="{WIDTH}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        f'<rect {size} fill="#ffffff"/>',
        _text(MARGIN, 30, f"GPU memory: the plan {'fits' if plan.fits else 'does not fit'}", 17),
    ]
    for number, (title, parts) in enumerate(bars):
        lines += _drawn(54 + ROW * number, title, parts, scale)
    return "\n".join([*lines, "</svg>\n"])


def _bars(index: int, plan: CardPlan, measured: Sequence[Measured], when: str) -> list[tuple[str, list[Part]]]:
    """The card's parts by the plan, and as they were measured."""
    card, parts = plan.card, []
    for process in plan.processes:
        (name, colour), cache = LOOKS[process.name], process.need.kv_cache
        parts += [(name, process.need.peak - cache, colour), ("KV", cache, colour)]
    parts += [("free", plan.free, FREE), ("driver", card.total_mib * MIB - card.usable, DRIVER)]
    peak = f"{plan.peak / GIB:.2f} of {card.usable / GIB:.2f} GiB, {plan.headroom / GIB:.2f} wanted free"
    bars = [(f"GPU {index} ({card.name}), planned at the peak: {peak}", [part for part in parts if part[1] > 0])]
    for total, used in measured[index : index + 1]:
        found = [("used", used * MIB, MEASURED), ("driver and free", (total - used) * MIB, FREE)]
        bars.append((f"GPU {index}, {when}: {used:,} of {total:,} MiB", found))
    return bars


def _drawn(top: int, title: str, parts: Sequence[Part], scale: float) -> list[str]:
    lines, left = [_text(MARGIN, top + 16, title, 13)], float(MARGIN)
    for name, size, colour in parts:
        width, figure = size * scale, f"{size / GIB:.2f}"
        place = f'x="{left:.1f}" y="{top + 24}" width="{width:.1f}" height="{BAR}"'
        lines.append(f'<rect {place} fill="{colour}" stroke="#ffffff"><title>{name} {figure} GiB</title></rect>')
        if width > LETTER * max(len(name), len(figure)) + 8:
            ink = INK if colour == FREE else "#ffffff"
            lines += [_text(left + 5, top + 44 + 14 * line, text, 12, ink) for line, text in enumerate((name, figure))]
        left += width
    return lines


def _text(x: float, y: int, text: str, size: int, ink: str = INK) -> str:
    return f'<text x="{x:.1f}" y="{y}" font-size="{size}" fill="{ink}">{escape(text)}</text>'
