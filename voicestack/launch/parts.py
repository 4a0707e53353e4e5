"""What a plan is made of. A change knows how to be made, so what is printed and what is done are one list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


class Change:
    """One thing to do: in words, and as a call."""

    def __init__(self, text: str, do: Callable[[], None]) -> None:
        self.text = text
        self.do = do


@dataclass
class Part:
    """One thing that a host needs: what there is of it, what would be done, why it cannot be done, what to know."""

    thing: str
    found: str = ""
    changes: list[Change] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


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


Say = Callable[[str], None]
"""Prints a line of progress."""
