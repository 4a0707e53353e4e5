"""The commands that the documents tell a reader to type, and the tests that type them.

A command is a line of a block of code, or what stands between backticks with at least one blank in it and begins with
the name of a program (or with variables for one). A test takes the words from here, so that it runs what the document
says and fails when that changes; tests/unit/test_documented.py sees to it that each has such a test, is run by `make
test` itself, or is followed in the document by "no test runs it: " and the reason.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
UNTESTED = "no test runs it: "
"""What a document says of a command that no test runs, with the reason behind it."""

_GENERATED = re.compile(r"<!-- [\w-]+: made by docs/generate\.py -->.*?<!-- end of [\w-]+ -->", re.DOTALL)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"^    (\S.*)$", re.MULTILINE)
_SPAN = re.compile(r"`([^`]+)`(\s+\(no\s+test\s+runs\s+it:\s)?")
_COMMENT = re.compile(r"(?:^|\s+)# (.*)$")
_VARIABLES = re.compile(r"(?:[A-Z][A-Z_]+=\S* )*")
_PROGRAM = re.compile(r"(?!\.\.\.)[a-z.][\w./-]* (?!= )")


class Documented(NamedTuple):
    """A command, where it stands, and whether the document says that no test runs it."""

    document: str
    command: str
    untested: bool


def documents() -> list[Path]:
    """Those of the top level, the agent's README, and everything in docs."""
    top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "agent/README.md")]
    return [*top, *sorted((ROOT / "docs").rglob("*.md"))]


def commands_in(text: str) -> list[tuple[str, bool]]:
    """The commands of a document in Markdown, and whether it says of each, anywhere in it, that no test runs it."""
    found = list(_found(text))
    untested = {command for command, says_so in found if says_so}
    return [(command, command in untested) for command, _ in found]


def _found(text: str) -> Iterator[tuple[str, bool]]:
    text = _GENERATED.sub("", text)
    for language, block in _FENCE.findall(text):
        if language in ("", "bash", "sh"):
            yield from _lines(block)
    text = _FENCE.sub("", text)
    yield from _lines("\n".join(_INDENTED.findall(text)))
    for span, untested in _SPAN.findall(_INDENTED.sub("", text)):
        words = " ".join(span.replace(r"\|", "|").split())
        if _PROGRAM.match(_VARIABLES.sub("", words, count=1)):
            yield words, bool(untested)


def _lines(block: str) -> Iterator[tuple[str, bool]]:
    """Of a block of code; a comment behind a command or alone in the line above is about it."""
    above = ""
    for line in re.sub(r"(\\|(?<=\|))\n\s+", " ", block).splitlines():
        comment = _COMMENT.search(line)
        command = " ".join(_COMMENT.sub("", line).split())
        about = above + (comment[1] if comment else "")
        if command:
            yield command, UNTESTED in about
        above = "" if command else about


@functools.cache
def commands() -> tuple[Documented, ...]:
    """Of all documents."""
    return tuple(
        Documented(str(path.relative_to(ROOT)), command, untested)
        for path in documents()
        for command, untested in commands_in(path.read_text(encoding="utf-8"))
    )


def documented_command(command: str, instead: Mapping[str, str] | None = None) -> str:
    """The command as a document has it, with a test's own words `instead` of the reader's, such as HOST.

    Raises:
        LookupError: no document has it, or it does not have those words.
    """
    if command not in {each.command for each in commands()}:
        raise LookupError(f"no document says: {command}")
    for theirs, ours in (instead or {}).items():
        if theirs not in command:
            raise LookupError(f"{theirs!r} is not in: {command}")
        command = command.replace(theirs, ours)
    return command
