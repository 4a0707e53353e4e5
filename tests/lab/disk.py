"""Directories that are whole or absent, and removal that never follows a mount."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.lab.console import run, step


def content_hash(parts: Iterable[str | bytes]) -> str:
    """A short name for exactly these inputs, in this order."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:16]


def files_below(*roots: Path) -> list[Path]:
    """Every source file below some directories, in a stable order."""
    found = (path for root in roots for path in root.rglob("*") if path.is_file())
    return sorted(path for path in found if "__pycache__" not in path.parts)


def make_whole(directory: Path, build: Callable[[Path], None], *, what: str) -> Path:
    """Return `directory`; if absent, build it under another name first, so that half of it never counts."""
    if not directory.exists():
        partial = directory.with_name(directory.name + ".partial")
        discard(partial)
        directory.parent.mkdir(parents=True, exist_ok=True)
        with step(what):
            build(partial)
            partial.rename(directory)
    return directory


def mounts_below(root: Path) -> list[Path]:
    """Mount points at or below a directory, the deepest first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    below = [Path(point) for point in points if Path(point).is_relative_to(root)]
    return sorted(below, key=lambda point: len(point.parts), reverse=True)


def discard(root: Path) -> None:
    """Remove a directory tree with whatever a crashed run left mounted in it."""
    for point in mounts_below(root):
        run("umount", "--lazy", point)
    run("rm", "-rf", "--one-file-system", root)
