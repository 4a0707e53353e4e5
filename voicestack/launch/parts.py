"""What a plan is made of, and how it reads. A step knows how to be done: what is printed and done is one list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from voicestack.launch.wishes import Wish


class Step(NamedTuple):
    """One change: in words, and as a call."""

    text: str
    do: Callable[[], object]


@dataclass
class HostPart:
    """One thing that a host needs: what there is of it, what would be done, why it cannot be done, what to know."""

    thing: str
    found: str = ""
    changes: list[Step] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def step(self, text: str, do: Callable[..., object], *arguments: Any, **named: Any) -> None:
        """One more change, which is `do` called with these arguments."""
        self.changes.append(Step(text, partial(do, *arguments, **named)))


@dataclass
class Known:
    """What later parts need of earlier ones: ids that were found, or that a change made. Empty: not yet."""

    account: str = ""
    partition: str = ""
    zone: str = ""
    vpc: str = ""
    subnet: str = ""
    group: str = ""
    instance: str = ""
    volume: str = ""
    allocation: str = ""
    address: str = ""


def lines(wish: Wish, known: Known, parts: list[HostPart]) -> list[str]:
    """The plan: one thing a line, below it what would change (+), what cannot be (!), what to know (-)."""
    printed = [f"{wish.name} in {wish.operator.region}, account {known.account}, {wish.shown_tags}"]
    for part in parts:
        printed.append(f"  {part.thing:<15} {_state(part)}".rstrip())
        printed += [f"    + {change.text}" for change in part.changes]
        printed += [f"    ! {refusal}" for refusal in part.refusals]
        printed += [f"    - {note}" for note in part.notes]
    return printed


def _state(part: HostPart) -> str:
    if not part.found:
        return "not there yet" if part.changes else ""
    return part.found if part.changes or part.refusals else f"{part.found}, as it should be"
