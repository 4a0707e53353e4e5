"""The stack as text: boxes and arrows, for the README and a terminal. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import zip_longest

from docs.stack import BROWSER, Card, Question, Stack

WIDTH = 104
BOX, GAP = 58, 2
"""Letters of a box, and between two that stand side by side."""

GUTTER = "  |  "
"""Left of what the browser's media passes by."""

INDENT = " " * len(GUTTER)


def drawn(stack: Stack) -> str:
    """The picture; ends in a newline."""
    servers = "".join(f" --> {each.what} {each.whom}" for each in _outside(stack, BROWSER))
    lines = [
        f" {BROWSER}{servers}",
        f"{GUTTER}  |",
        f"{GUTTER}  v",
        *(f"{GUTTER}{line}" for line in _box(stack, "caddy", BOX)),
        *(f"{GUTTER}{line}" for line in _down(stack, "caddy", "livekit")),
        *_reached(_box(stack, "livekit", BOX)),
        f"{INDENT}  ^",
        f"{INDENT}  |  {_what(stack, 'voice-agent', 'livekit')}",
        *(f"{INDENT}{line}" for line in _box(stack, "voice-agent", BOX)),
        *(f"{INDENT}{line}".rstrip() for line in _engines(stack)),
        "",
        *(f"{INDENT}{line}" for card in stack.cards for line in _card(card)),
        "",
        *_disks(stack),
    ]
    return "\n".join(lines) + "\n"


def _what(stack: Stack, who: str, whom: str) -> str:
    return ", ".join(each.what for each in stack.questions if (each.who, each.whom) == (who, whom))


def _outside(stack: Stack, who: str) -> list[Question]:
    return [each for each in stack.questions if each.who == who and each.outside]


def _down(stack: Stack, who: str, whom: str) -> list[str]:
    return [f"  |  {_what(stack, who, whom)}", "  v"]


def _box(stack: Stack, service: str, width: int) -> list[str]:
    """What a service is for and where it listens; to its right whom it asks outside, two lines each."""
    listens = [f"{each.place} {each.what}" for each in stack.listeners if each.service == service]
    rows = [
        row
        for each in (stack.services[service], *listens)
        for row in textwrap.wrap(each, width - 4, break_on_hyphens=False)
    ]
    asked = _outside(stack, service)
    rows += [""] * (2 * len(asked) - len(rows))
    inside = [f"| {row:<{width - 4}} |{_beside(asked, number)}" for number, row in enumerate(rows)]
    return [f"+- {service} {'-' * (width - len(service) - 5)}+", *inside, f"+{'-' * (width - 2)}+"]


def _beside(asked: Sequence[Question], number: int) -> str:
    """The line `number` of the list of those who are asked outside."""
    lines = [line for each in asked for line in (f" --> {each.whom}, {each.where}".rstrip(", "), f"     {each.what}")]
    return "".join(lines[number : number + 1])


def _reached(box: Sequence[str]) -> list[str]:
    """A box that the browser's media reaches past Caddy: the gutter ends in it."""
    return [f"{GUTTER}{box[0]}", f"  +->{box[1]}", *(f"{INDENT}{line}" for line in box[2:])]


def _engines(stack: Stack) -> list[str]:
    """Those of the engines that are on this host, side by side."""
    here = [name for name in ("vllm-voxtral", "vllm-guard") if name in stack.services]
    width = (BOX - GAP * (len(here) - 1)) // len(here)
    columns = [[*_down(stack, "voice-agent", name), *_box(stack, name, width)] for name in here]
    rows = zip_longest(*columns, fillvalue="")
    return [(" " * GAP).join(f"{line:<{width}}" for line in row) for row in rows]


def _card(card: Card) -> list[str]:
    return [card.name, f"[ {' | '.join(f'{what} {amount:.2f}' for _, what, amount in card.parts)} ]"]


def _disks(stack: Stack) -> list[str]:
    wide = max(len(path) for path in stack.disks)
    lines = []
    for path, (need, what) in stack.disks.items():
        head = f"{INDENT}{path:<{wide}}  {need:>3g} GiB  "
        rest = " " * len(head)
        lines += textwrap.wrap(
            what, WIDTH, initial_indent=head, subsequent_indent=rest, break_on_hyphens=False, break_long_words=False
        )
    return lines
