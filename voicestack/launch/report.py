"""A plan in words and as JSON. Pure."""

from __future__ import annotations

from typing import Any

from voicestack.launch.parts import Known, Part
from voicestack.launch.wishes import Wish


def count(parts: list[Part]) -> int:
    """How many changes there are."""
    return sum(len(part.changes) for part in parts)


def refused(parts: list[Part]) -> bool:
    """Whether anything cannot be done."""
    return any(part.refusals for part in parts)


def lines(wish: Wish, known: Known, parts: list[Part]) -> list[str]:
    """The plan: one thing a line, below it what would change (+), what cannot be (!), what to know (-)."""
    printed = [f"{wish.name} in {wish.region}, account {known.account}, {wish.shown_tags}"]
    for part in parts:
        printed.append(f"  {part.thing:<15} {_state(part)}".rstrip())
        printed += [f"    + {change.text}" for change in part.changes]
        printed += [f"    ! {refusal}" for refusal in part.refusals]
        printed += [f"    - {note}" for note in part.notes]
    return printed


def _state(part: Part) -> str:
    if not part.found:
        return "not there yet" if part.changes else ""
    return part.found if part.changes or part.refusals else f"{part.found}, as it should be"


def document(wish: Wish, known: Known, parts: list[Part], outcome: str, error: str) -> dict[str, Any]:
    """The same for programs, with the ids that were found or made."""
    ids = {key: getattr(known, key) for key in ("zone", "group", "instance", "volume", "address")}
    return {
        "outcome": outcome,
        "error": error,
        "region": wish.region,
        "account": known.account,
        "tags": dict(wish.tags),
        **ids,
        "parts": [
            {
                "thing": part.thing,
                "found": part.found,
                "changes": [change.text for change in part.changes],
                "refusals": part.refusals,
                "notes": part.notes,
            }
            for part in parts
        ],
    }
