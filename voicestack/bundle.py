"""The code that runs on hosts, as it travels: one tree, whose root stands on the host's Python path."""

from __future__ import annotations

from pathlib import Path

import on_host
from voicestack.remote import File

CODE = Path(on_host.__file__).parent


def bundle(package: str) -> dict[str, File]:
    """What `on_host` has for all, and the package of this name in it; paths begin with on_host/."""
    files = [*CODE.glob("*.py"), *(CODE / package).glob("*.py")]
    return {path.relative_to(CODE.parent).as_posix(): File(path.read_bytes()) for path in sorted(files)}
