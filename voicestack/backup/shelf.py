"""Where backups lie on the controller: 0600 from the first byte, complete or not there, none ever overwritten."""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path


def file_name(host: str, made: datetime) -> str:
    """The name of a host's backup; `made` is UTC."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", host).strip("-.") or "host"
    return f"{plain}-{made:%Y%m%dT%H%M%SZ}.tar.age"


def problem(directory: Path) -> str:
    """Why no file can be put into `directory`, or ""; it need not be there yet."""
    there = next(each for each in (directory, *directory.absolute().parents) if each.exists())
    if not there.is_dir():
        return f"{there} is not a directory"
    return "" if os.access(there, os.W_OK | os.X_OK) else f"{there} cannot be written to"


def put(directory: Path, name: str, content: bytes) -> Path:
    """Write `content` beside its place, have it on the disk, then give it its name.

    Raises:
        OSError: it cannot be written, or the name is taken.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = directory / name
    beside = directory / f".{name}.part"
    # Whoever writes a file of this name has to make this one first: nobody comes between the look and the renaming.
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if place.exists():
            raise FileExistsError(f"{place} is there already")
        beside.rename(place)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return place
