"""What a file must be, and what was seen of it."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

BLOCK = 4 * 1024 * 1024
"""Bytes read from the disk at a time."""


@dataclass(frozen=True)
class Expected:
    """What a file must be: bytes, and their digests where they are known.

    The Hub knows the sha256 of files in large-file storage, and of the others the name of the git blob.
    """

    size: int
    sha256: str | None = None
    git_sha1: str | None = None


class Digest:
    """sha256 of a stream, and the git blob hash where that is what the Hub knows."""

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self.size = 0
        self._sha256 = hashlib.sha256()
        # A git object's name, not a signature; the Hub has no other digest for small files.
        self._git = hashlib.sha1(f"blob {expected.size}\0".encode(), usedforsecurity=False)

    def update(self, piece: bytes | bytearray | memoryview) -> None:
        """The next bytes."""
        self.size += len(piece)
        self._sha256.update(piece)
        if self._expected.git_sha1:
            self._git.update(piece)

    def copy(self) -> Digest:
        """The same state, going its own way from here."""
        twin = copy.copy(self)
        twin._sha256, twin._git = self._sha256.copy(), self._git.copy()
        return twin

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


def digest_of(file: Path, expected: Expected, seen: Callable[[int], None]) -> Digest:
    """Read a file from the disk, not from the page cache; `seen` is told how many bytes each read brought."""
    digest = Digest(expected)
    buffer = memoryview(bytearray(BLOCK))
    with file.open("rb", buffering=0) as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while count := stream.readinto(buffer):
            digest.update(buffer[:count])
            seen(count)
    return digest
