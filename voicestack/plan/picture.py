"""The plan as a picture: a bar for each card, one for what was measured on it. Pure and deterministic: SVG as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from voicestack.gpu.measured import Measured
from voicestack.gpu.plan import CardPlan, Plan, Process
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
LETTER = 7.0
"""Pixels a letter of the small text takes, a little more than most do."""


@dataclass(frozen=True)
class _Part:
    """A stretch of a bar."""

    label: str
    bytes: int
    colour: str
    dark: bool = True


def svg(plan: Plan, measured: Sequence[Measured] = (), when: str = "measured") -> str:
    """An SVG document; `when` names the measurement."""
    rows = list(_rows(plan, measured, when))
    height = MARGIN + 34 + ROW * len(rows) + 10
    size = {"width": str(WIDTH), "height": str(height), "viewBox": f"0 0 {WIDTH} {height}"}
    root = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **size, "font-family": "sans-serif"})
    ET.SubElement(root, "title").text = "GPU memory"
    ET.SubElement(root, "rect", {"width": str(WIDTH), "height": str(height), "fill": "#ffffff"})
    fits = "fits" if plan.fits else "does not fit"
    _text(root, MARGIN, MARGIN + 10, f"GPU memory: the plan {fits}", size=17, weight="bold")
    widest = max([total for _, total, _ in rows] + [sum(part.bytes for part in parts) for _, _, parts in rows])
    for number, (title, _, parts) in enumerate(rows):
        _bar(root, MARGIN + 34 + ROW * number, title, parts, widest)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _rows(plan: Plan, measured: Sequence[Measured], when: str) -> list[tuple[str, int, list[_Part]]]:
    rows = []
    for index, card in enumerate(plan.cards):
        total = card.card.total_mib * MIB
        name, usable = card.card.name, card.card.usable / GIB
        title = (
            f"GPU {index} ({name}), planned at the peak: {card.peak / GIB:.2f} of {usable:.2f} GiB, "
            f"{card.headroom / GIB:.2f} wanted free"
        )
        rows.append((title, total, _planned(card, total)))
        if index < len(measured):
            found = measured[index]
            total = found.total_mib * MIB
            rows.append((f"GPU {index}, {when}: {found.used_mib:,} of {found.total_mib:,} MiB", total, _found(found)))
    return rows


def _planned(plan: CardPlan, total: int) -> list[_Part]:
    parts = [part for process in plan.processes for part in _process(process)]
    if plan.free > 0:
        parts.append(_Part(f"free {plan.free / GIB:.2f}", plan.free, FREE, dark=False))
    return [*parts, _Part("driver", total - plan.card.usable, DRIVER)]


def _process(process: Process) -> list[_Part]:
    (name, colour), need = LOOKS[process.name], process.need
    without = need.peak - need.kv_cache
    own = _Part(f"{name} {without / GIB:.2f}", without, colour)
    return [own, _Part(f"KV {need.kv_cache / GIB:.2f}", need.kv_cache, colour)] if need.kv_cache else [own]


def _found(found: Measured) -> list[_Part]:
    used, rest = found.used_mib * MIB, (found.total_mib - found.used_mib) * MIB
    return [
        _Part(f"used {used / GIB:.2f} GiB", used, MEASURED),
        _Part(f"driver and free {rest / GIB:.2f}", rest, FREE, dark=False),
    ]


def _bar(root: ET.Element, top: int, title: str, parts: Sequence[_Part], widest: int) -> None:
    _text(root, MARGIN, top + 16, title, size=13)
    left, scale = float(MARGIN), (WIDTH - 2 * MARGIN) / widest
    for part in parts:
        width = part.bytes * scale
        box = {"x": f"{left:.1f}", "y": str(top + 24), "width": f"{width:.1f}", "height": str(BAR)}
        rect = ET.SubElement(root, "rect", {**box, "fill": part.colour, "stroke": "#ffffff"})
        ET.SubElement(rect, "title").text = part.label
        lines = _wrapped(part.label, width)
        for number, line in enumerate(lines):
            baseline = top + 24 + BAR / 2 + 4 + 14 * (number - (len(lines) - 1) / 2)
            _text(root, left + 5, baseline, line, size=12, fill="#ffffff" if part.dark else INK)
        left += width


def _wrapped(label: str, width: float) -> list[str]:
    """The label in up to three lines, or nothing where there is no room; its tooltip still says it."""
    lines: list[str] = []
    for word in label.split():
        if lines and len(lines[-1]) + 1 + len(word) <= (width - 8) / LETTER:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    fits = len(lines) <= 3 and all(len(line) * LETTER <= width - 8 for line in lines)
    return lines if fits else []


def _text(root: ET.Element, x: float, y: float, text: str, *, size: int, fill: str = INK, weight: str = "") -> None:
    style = {"font-weight": weight} if weight else {}
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "font-size": str(size), "fill": fill}
    ET.SubElement(root, "text", {**place, **style}).text = text
