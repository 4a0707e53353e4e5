"""What the deploys made on a host of which it could not be told later that it was not there before.

A file says by its name whose it is, a container by its label. A package, a hold and a pulled image do not: a script
that makes one notes it first, in a file on the host that outlives the stack. voicestack/teardown reads it.
"""

from __future__ import annotations

from pathlib import Path

from voicestack.remote import script

LEDGER = "/var/lib/voice/made"
"""One line each: `installed`, `removed` (packages), `held` or `image`, and the name."""

_NOTE = Path(__file__).with_suffix(".sh").read_text(encoding="utf-8")


_APT = Path(__file__).with_name("apt.sh").read_text(encoding="utf-8")


def noting(beside: str, name: str, *arguments: str) -> str:
    """The script `name` beside the Python file `beside` as one command, with `note` and `note_packages` to call."""
    return script(f"{_NOTE}{_body(beside, name)}", *arguments)


def with_apt(beside: str, name: str, *arguments: str) -> str:
    """As noting, and with what apt.sh has to call apt by."""
    return script(f"{_APT}{_NOTE}{_body(beside, name)}", *arguments)


def _body(beside: str, name: str) -> str:
    return (Path(beside).parent / name).read_text(encoding="utf-8")
