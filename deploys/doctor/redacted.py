"""Differences between two texts that may be shown: what could be secret or name somebody is masked. Pure."""

from __future__ import annotations

import difflib
import re
from ipaddress import ip_address

MASK = "[redacted]"

_ASSIGNED = re.compile(
    r"(?i)([\w.-]*(?:secret|token|password|passwd|credential|api[_-]?key|private[_-]?key)[\w.-]*[\"']?\s*[:=]\s*)\S.*"
)
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_ADDRESS = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})(?![\w.:])")
_OPAQUE = re.compile(r"(?<![\w+/=-])(?=[\w+/=-]*[0-9])(?=[\w+/=-]*[A-Za-z])[A-Za-z0-9+/=_-]{24,}(?![\w+/=-])")
_VARIABLE = re.compile(r"^([ +-]?\s*(?:export\s+)?[A-Za-z_]\w*=).+")


def difference(path: str, live: bytes, wanted: bytes) -> tuple[str, ...]:
    """A unified diff from what is live to what is wanted, each line redacted; values of env files are left out."""
    before, after = (content.decode("utf-8", errors="replace").splitlines() for content in (live, wanted))
    lines = difflib.unified_diff(before, after, f"live {path}", f"wanted {path}", lineterm="", n=1)
    return tuple(env_line(line) if path.endswith(".env") else redact(line) for line in lines)


def env_line(line: str) -> str:
    """A line of an env file, in a diff or not, without the value; what is no assignment could be a part of one."""
    if line.startswith(("---", "+++", "@@")):
        return line
    masked = _VARIABLE.sub(rf"\1{MASK}", line)
    return masked if masked != line else line[:1].strip() + MASK


def redact(text: str) -> str:
    """`text` without what looks like a token, a key, an address of somebody's."""
    text = _ASSIGNED.sub(rf"\1{MASK}", text)
    text = _MAIL.sub(MASK, text)
    text = _ADDRESS.sub(_masked_address, text)
    return _OPAQUE.sub(MASK, text)


def _masked_address(match: re.Match[str]) -> str:
    """Addresses that name nobody stay: they are what an edit of a configuration is often about."""
    try:
        found = ip_address(match[0])
    except ValueError:
        return match[0]
    return match[0] if found.is_loopback or found.is_unspecified else MASK
