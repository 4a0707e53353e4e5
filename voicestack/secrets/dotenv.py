"""A .env file, read strictly: what is not exactly one known NAME=VALUE a line is a mistake, told by its line. Pure.

Lenient readers turn a lost line break into one long value (finding 15 in docs/runbook.md), keep the quotes or the
carriage return as part of a secret, and let the last of two lines win. No message here repeats a value.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

NAME = re.compile(r"[A-Z][A-Z0-9_]*")
VALUE = re.compile(r"[A-Za-z0-9+/_.:@%,~-]+={0,2}")
"""What tokens and keys are made of; `=` is base64's padding and stands at the end only."""

TELLING_NAME = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+")
"""A name that may be repeated in a message: the piece of a secret that a line break made a line hardly looks so."""


class Entry(NamedTuple):
    """One line that gives a value; the line is counted from 1."""

    name: str
    value: str
    line: int


def parse(content: bytes, known: Collection[str]) -> tuple[list[Entry], list[str]]:
    """The entries of a .env file, and a line for each mistake ("line 5: ..."); names outside `known` are mistakes."""
    lines = content.decode("ascii", errors="replace").split("\n")
    entries: list[Entry] = []
    problems = []
    for number, line in enumerate(lines, start=1):
        name, _, value = line.partition("=")
        if problem := _problem(line, known, {each.name: each.line for each in entries}):
            problems.append(f"line {number}: {problem}")
        elif line and not line.startswith("#"):
            entries.append(Entry(name, value, number))
    if lines[-1]:
        problems.append(f"line {len(lines)}: the last line does not end, and what is appended joins it: add a newline")
    return entries, problems


def _problem(line: str, known: Collection[str], before: Mapping[str, int]) -> str:
    """The first thing that is wrong with a line, or ""; `before` has the lines of the names that stand above."""
    name, separator, value = line.partition("=")
    shown, second = name if TELLING_NAME.fullmatch(name) else "a name", _second_name(value, known)
    checks = (
        (line.endswith("\r"), "ends in a carriage return; save the file with Unix line ends (dos2unix)"),
        (not line or line.startswith("#"), _lost_in_comment(line, known)),
        (not separator, "neither NAME=VALUE nor a comment; is it the rest of a value that was broken in two?"),
        (not NAME.fullmatch(name), "the name before = must be capitals, digits and _; no blank, no `export`, no BOM"),
        (second, f"{shown}= is followed by {second}= on the same line: two lines were merged; put each on its own"),
        (name not in known, f"{shown} is not known{suggestion(name, known)}"),
        (name in before, f"{name} stands on line {before.get(name)} already; keep one of the two"),
        (not value, f"{name} has no value; give it one or delete the line"),
        ("'" in value or '"' in value, f"{name}: quotes would be part of the value; write it without them"),
        (not VALUE.fullmatch(value), f"{name}: a blank, a comment behind the value, or a character of no token"),
    )
    return next((said for is_wrong, said in checks if is_wrong), "")


def _second_name(value: str, known: Collection[str]) -> str:
    """The second name on a line ("another NAME" when it may be part of a value), or ""."""
    for name in sorted(known, key=len, reverse=True):
        if f"{name}=" in value:
            return name
    name, separator, _ = value.rstrip("=").partition("=")
    return "" if not separator else name if TELLING_NAME.fullmatch(name) else "another NAME"


def _lost_in_comment(line: str, known: Collection[str]) -> str:
    lost = next((name for name in known if re.search(rf"[^\s#]{name}=", line)), "")
    return f"a comment runs into {lost}=, which is lost by that: put it on a line of its own" if lost else ""


def suggestion(name: str, known: Collection[str]) -> str:
    """How a message about an unknown name goes on."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else f" (known: {', '.join(known)})"
