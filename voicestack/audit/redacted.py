"""Differences between two texts that may be shown: what could be secret or name somebody is masked. Pure."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable

from on_host import redaction

MASK = "[redacted]"

_ASSIGNED = re.compile(
    r"(?i)([\w.-]*(?:secret|token|password|passwd|credential|api[_-]?key|private[_-]?key)(?![a-z])[\w.-]*[\"']?\s*[:=]\s*)\S.*"
)
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_OPAQUE = re.compile(
    r"(?<!\w)(?:[0-9a-fA-F]{32,}|(?=[\w+/-]*[0-9])(?=[\w+/-]*[A-Z])(?=[\w+/-]*[a-z])[A-Za-z0-9+/_-]{24,}={0,2})(?!\w)"
)
_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
_ENV_LINE = re.compile(r"^([ +-](?:[A-Z_][A-Z0-9_]*|\?)=)[0-9a-f]{16}$")


def difference(path: str, live: bytes, wanted: bytes) -> tuple[str, ...]:
    """A unified diff from what is live, as state.sh shows it, to what is wanted; each line redacted."""
    is_env = path.endswith(".env")
    before, after = _lines(live), _lines(wanted)
    lines = difflib.unified_diff(
        before, env_lines(after) if is_env else after, f"live {path}", f"wanted {path}", lineterm="", n=1
    )
    return tuple(_ENV_LINE.sub(rf"\1{MASK}", line) if is_env else redact(line) for line in lines)


def env_lines(lines: Iterable[str]) -> list[str]:
    """Lines of an env file as state.sh shows them: NAME=DIGEST, ?=DIGEST for what is no assignment."""
    return [f"{name}={hashlib.sha256(_bytes(value)).hexdigest()[:16]}" for name, value in map(_assignment, lines)]


def _assignment(line: str) -> tuple[str, str]:
    name, separator, value = line.partition("=")
    return (name, value) if separator and _NAME.fullmatch(name) else ("?", line)


def _lines(content: bytes) -> list[str]:
    # Not splitlines: it knows more ends of a line than the shell.
    return content.decode("utf-8", errors="surrogateescape").removesuffix("\n").split("\n") if content else []


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogateescape")


def redact(text: str) -> str:
    """`text` without what must not be public, and without what only looks like a token, a key, somebody's address.

    Stricter than on_host/redaction.py: a live file may hold what nobody foresaw, and too much masked harms nothing.
    """
    text = redaction.redact(_bytes(text).decode("utf-8", errors="replace"))
    for pattern, mask in ((_ASSIGNED, rf"\1{MASK}"), (_MAIL, MASK), (_OPAQUE, MASK)):
        text = pattern.sub(mask, text)
    return text
