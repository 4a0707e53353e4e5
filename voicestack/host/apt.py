"""apt and dpkg on a host where others use them too: their locks are waited for, what was cut off is finished."""

from __future__ import annotations

from pathlib import Path

from voicestack.remote import script

_APT = Path(__file__).with_suffix(".sh").read_text(encoding="utf-8")


def with_apt(beside: str, name: str, *arguments: str) -> str:
    """The script `name` beside the Python file `beside` as one command, with what apt.sh has to call apt by."""
    body = (Path(beside).parent / name).read_text(encoding="utf-8")
    return script(f"{_APT}{body}", *arguments)
