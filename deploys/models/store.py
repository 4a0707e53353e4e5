"""The disk's side of a fetch: stage beside, verify while writing, sync, rename.

Below the weights directory: `.staging/NAME-REVISION12/` grows file by file and survives a kill; a file that is
still growing ends in `.part`. Only a whole, verified directory is renamed to `NAME`. What stood there before goes
to `.replaced/NAME-TIME`; nothing of it is deleted.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

PROVENANCE = ".provenance.json"
HEADROOM = 512 * 1024 * 1024
"""Bytes that stay free on the disk of the weights."""

BLOCK = 4 * 1024 * 1024


class DiskError(Exception):
    """The disk cannot do what is needed; the message says what is missing."""


@dataclass(frozen=True)
class Expected:
    """What a file must be. A digest that is None is not known; `size` in bytes."""

    size: int
    sha256: str | None = None
    git_sha1: str | None = None


class Digest:
    """sha256 of a stream, and the git blob hash where that is what the Hub knows."""

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self.restart()

    def restart(self) -> None:
        """Forget everything seen so far."""
        self.size = 0
        self._sha256 = hashlib.sha256()
        # A git object's name, not a signature; the Hub has no other digest for small files.
        self._git = hashlib.sha1(f"blob {self._expected.size}\0".encode(), usedforsecurity=False)

    def update(self, piece: bytes) -> None:
        """The next bytes."""
        self.size += len(piece)
        self._sha256.update(piece)
        if self._expected.git_sha1:
            self._git.update(piece)

    @property
    def complete(self) -> bool:
        """Whether as many bytes were seen as the file has."""
        return self.size >= self._expected.size

    @property
    def sha256(self) -> str:
        """Of what was seen so far."""
        return self._sha256.hexdigest()

    def mismatch(self) -> str | None:
        """What is wrong with the whole file, or None."""
        expected = self._expected
        if self.size != expected.size:
            return f"{self.size} bytes instead of {expected.size}"
        if expected.sha256 and self.sha256 != expected.sha256:
            return f"sha256 {self.sha256} instead of {expected.sha256}"
        if expected.git_sha1 and self._git.hexdigest() != expected.git_sha1:
            return f"git blob {self._git.hexdigest()} instead of {expected.git_sha1}"
        return None


class Staging:
    """The place where one revision of one model is put together."""

    def __init__(self, directory: Path, name: str, revision: str) -> None:
        self.name = name
        self.root = directory
        self.path = directory / ".staging" / f"{name}-{revision[:12]}"
        self.target = directory / name

    def part(self, path: str) -> Path:
        """Where a file grows."""
        return self.path / f"{path}.part"

    def bytes_left(self, path: str, expected: Expected) -> int:
        """How many bytes of this file are still to be fetched."""
        if self.whole(path, expected):
            return 0
        part = self.part(path)
        return expected.size - min(part.stat().st_size if part.exists() else 0, expected.size)

    def whole(self, path: str, expected: Expected) -> bool:
        """Whether the file was staged completely (it was verified before it got its name)."""
        file = self.path / path
        return file.is_file() and file.stat().st_size == expected.size

    def adopt(self, path: str, expected: Expected) -> bool:
        """Take the file from the model in place if it is the same one, byte for byte, instead of fetching it."""
        old, new = self.target / path, self.path / path
        if self.whole(path, expected) or not old.is_file() or old.stat().st_size != expected.size:
            return False
        if digest_of(old, expected).mismatch():
            return False
        new.parent.mkdir(parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        os.link(old, new)
        return True

    def finish(self, path: str) -> None:
        """A verified `.part` gets its name."""
        self.part(path).replace(self.path / path)

    def install(self, provenance: dict[str, Any]) -> Path | None:
        """Write the provenance, sync everything, rename into place; returns where the old content went."""
        self._drop_strangers(set(provenance["files"]))
        write_synced(self.path / PROVENANCE, json.dumps(provenance, indent=2, sort_keys=True) + "\n")
        for folder, _, _ in os.walk(self.path):
            Path(folder).chmod(0o755)
            sync_directory(Path(folder))
        aside = self._set_aside()
        try:
            self.path.rename(self.target)
        except OSError:
            if aside is not None:
                aside.rename(self.target)
            raise
        sync_directory(self.root)
        self._drop_other_stagings()
        return aside

    def _set_aside(self) -> Path | None:
        if not self.target.exists():
            return None
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        aside = self.root / ".replaced" / f"{self.name}-{stamp}"
        aside.parent.mkdir(exist_ok=True)
        self.target.rename(aside)
        return aside

    def _drop_strangers(self, wanted: set[str]) -> None:
        """What an earlier attempt with another selection of files left here."""
        for file in [f for f in self.path.rglob("*") if f.is_file()]:
            if file.relative_to(self.path).as_posix() not in wanted:
                file.unlink()

    def _drop_other_stagings(self) -> None:
        """Half-fetched revisions of this model that nobody wants any more."""
        for other in self.path.parent.glob(f"{self.name}-{'?' * 12}"):
            shutil.rmtree(other)


def digest_of(file: Path, expected: Expected) -> Digest:
    """Read a file from the disk."""
    digest = Digest(expected)
    with file.open("rb") as stream:
        while piece := stream.read(BLOCK):
            digest.update(piece)
    return digest


def held_by(directory: Path) -> int:
    """Bytes that deleting `directory` would free: files that were adopted by the new model are shared with it."""
    stats = [file.lstat() for file in directory.rglob("*") if file.is_file()]
    return sum(stat.st_size for stat in stats if stat.st_nlink == 1)


def check_space(directory: Path, wanted: int, files: int) -> None:
    """Whether `wanted` more bytes in `files` more files fit.

    Raises:
        DiskError: they do not.
    """
    disk = os.statvfs(directory)
    free = disk.f_bavail * disk.f_frsize
    if free < wanted + HEADROOM:
        raise DiskError(
            f"The disk of {directory} has {free / 1e9:.1f} GB free; {wanted / 1e9:.1f} GB are to be fetched and "
            f"{HEADROOM / 1e9:.1f} GB shall stay free. Look into {directory}/.replaced for what may go."
        )
    if disk.f_files and disk.f_favail < files:
        raise DiskError(f"The disk of {directory} has {disk.f_favail} inodes free; {files} files are to come.")


@contextmanager
def only_one(directory: Path) -> Iterator[None]:
    """Keep a second fetch out of `directory`.

    Raises:
        DiskError: one is at work already.
    """
    with (directory / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DiskError(f"Another fetch into {directory} is at work.") from None
        yield


def write_synced(path: Path, text: str) -> None:
    """A small file, on the disk when this returns."""
    with path.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
