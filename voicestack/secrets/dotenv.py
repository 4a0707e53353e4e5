"""A .env file, read strictly: what is not exactly one known NAME=VALUE a line is a mistake, told by its line. Pure.

Lenient readers turn a lost line break into one long value (handover, finding 15), keep the quotes or the carriage
return as part of a secret, and let the last of two lines win. No message here repeats a value.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
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
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError as error:
        at = content[: error.start].count(b"\n") + 1
        return [], [f"line {at}: a character that is not ASCII (a byte order mark, a typographic quote?)"]
    lines = text.split("\n")
    entries: list[Entry] = []
    problems = []
    for number, line in enumerate(lines, start=1):
        name, _, value = line.partition("=")
        problem = _malformed(line, known) or (_refused(name, value, known, entries) if _gives(line) else "")
        if problem:
            problems.append(f"line {number}: {problem}")
        elif _gives(line):
            entries.append(Entry(name, value, number))
    if lines[-1]:
        problems.append(f"line {len(lines)}: the last line does not end, and what is appended joins it: add a newline")
    return entries, problems


def _gives(line: str) -> bool:
    """Whether a line is to give a value."""
    return bool(line) and not line.startswith("#")


def _malformed(line: str, known: Collection[str]) -> str:
    """What is wrong with a line's form, or ""."""
    if line.endswith("\r"):
        return "ends in a carriage return; save the file with Unix line ends (dos2unix)"
    if not _gives(line):
        return _merged_comment(line, known)
    name, separator, _ = line.partition("=")
    if not separator:
        return "neither NAME=VALUE nor a comment; is it the rest of a value that was broken in two?"
    if not NAME.fullmatch(name):
        return "the name before = must be capitals, digits and _, with no blank around it and no `export`"
    return ""


def _refused(name: str, value: str, known: Collection[str], before: list[Entry]) -> str:
    """Why a line of the right form gives nothing, or ""."""
    shown = name if TELLING_NAME.fullmatch(name) else "a name"
    inner = _merged(value, known)
    if inner:
        return f"{shown}= is followed by {inner}= on the same line: two lines were merged; put each on its own"
    if name not in known:
        return f"{shown} is not known{suggestion(name, known)}"
    first = next((entry.line for entry in before if entry.name == name), 0)
    if first:
        return f"{name} stands on line {first} already; keep one of the two"
    return _unusable(name, value)


def _unusable(name: str, value: str) -> str:
    """What is wrong with a value by itself, or ""."""
    if not value:
        return f"{name} has no value; give it one or delete the line"
    if "'" in value or '"' in value:
        return f"{name}: quotes would be part of the value; write it without them"
    if not VALUE.fullmatch(value):
        return f"{name}: a blank, a comment behind the value, or a character that no token or key has"
    return ""


def _merged(value: str, known: Collection[str]) -> str:
    """The second name on a line ("another NAME" when it may be part of a value), or ""."""
    for name in sorted(known, key=len, reverse=True):
        if f"{name}=" in value:
            return name
    padding = len(value) - len(value.rstrip("="))
    second = value[: len(value) - padding].find("=")
    if second < 0:
        return ""
    return value[:second] if TELLING_NAME.fullmatch(value[:second]) else "another NAME"


def _merged_comment(line: str, known: Collection[str]) -> str:
    for name in known:
        if re.search(rf"[^\s#]{name}=", line):
            return f"a comment runs into {name}=, which is lost by that: put it on a line of its own"
    return ""


def suggestion(name: str, known: Collection[str]) -> str:
    """How a message about an unknown name goes on."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else f" (known: {', '.join(known)})"
