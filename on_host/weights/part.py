"""A file that grows on the disk, hashed while it does.

Every few megabytes the bytes are synced and a mark is written beside: "this many bytes have this sha256". Only what
a mark vouches for counts when a later run goes on: a kill, a power cut and a flipped byte all cost no more than
the way to the mark before.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from on_host.weights.digest import BLOCK, Digest, Expected

MARK_EVERY = 8 * 1024 * 1024
"""Bytes between two marks. Two of these (one being synced, one growing) can be lost in a kill."""


class Part:
    """`PATH.part` and its marks, until the file is whole and gets its name.

    Args:
        path: the name that the file will have.
        expected: what it must be.
    """

    def __init__(self, path: Path, expected: Expected) -> None:
        self.path, self.expected = path, expected
        self.part = path.with_name(f"{path.name}.part")
        self.marks = path.with_name(f"{path.name}.part.marks")
        self.digest = Digest(expected)
        self._marked = 0
        self._syncing: Future[None] | None = None

    def vouched(self) -> int:
        """How many bytes the marks vouch for, unread; what the disk holds beyond them does not count."""
        held = self.part.stat().st_size if self.part.exists() else 0
        return max((offset for offset, _ in self._read_marks() if offset <= held), default=0)

    def open(self, seen: Callable[[int], None]) -> None:
        """Read back what an earlier run left, cut off what no mark vouches for, and be ready for more."""
        self.part.parent.mkdir(parents=True, exist_ok=True)
        self.part.touch()
        kept = self._read_back(seen)
        self.marks.write_text("".join(f"{offset} {digest}\n" for offset, digest in kept))
        os.truncate(self.part, self.digest.size)
        self._marked = self.digest.size
        self._stream = self.part.open("ab", buffering=0)
        self._marks_stream = self.marks.open("a")
        self._syncer = ThreadPoolExecutor(1)

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        """The next bytes."""
        view = memoryview(piece)
        while view:
            view = view[self._stream.write(view) :]
        self.digest.update(piece)
        if self.digest.size - self._marked >= MARK_EVERY:
            self._mark()

    def close(self) -> None:
        """Leave everything as it is for a later run."""
        self._syncer.shutdown()
        self._marks_stream.close()
        self._stream.close()

    def finish(self) -> str | None:
        """The file is whole: give it its name if it is what was expected, durable when this returns.

        Returns:
            what is wrong with it, or None. A file that is wrong is deleted.
        """
        if self._syncing is not None:
            # The kernel tells a failed write once, to whoever syncs first.
            self._syncing.result()
        problem = self.digest.mismatch()
        if problem is None:
            os.fsync(self._stream.fileno())
        self.close()
        if problem is None:
            self.part.replace(self.path)
        else:
            self.part.unlink()
        self.marks.unlink()
        return problem

    def _mark(self) -> None:
        """Sync in the background; at most one mark lags behind."""
        if self._syncing is not None:
            self._syncing.result()
        self._marked = self.digest.size
        self._syncing = self._syncer.submit(self._sync, self._marked, self.digest.sha256)

    def _sync(self, offset: int, digest: str) -> None:
        os.fdatasync(self._stream.fileno())
        self._marks_stream.write(f"{offset} {digest}\n")
        self._marks_stream.flush()

    def _read_marks(self) -> list[tuple[int, str]]:
        """The marks in ascending order; a torn line is no mark."""
        if not self.marks.exists():
            return []
        lines = self.marks.read_text(errors="replace").splitlines()
        matches = [re.fullmatch(r"([0-9]{1,18}) ([0-9a-f]{64})", line) for line in lines]
        return sorted({int(match[1]): match[2] for match in matches if match}.items())

    def _read_back(self, seen: Callable[[int], None]) -> list[tuple[int, str]]:
        """Hash the part up to the last mark that tells the truth; returns the marks that do."""
        kept = []
        digest = self.digest.copy()
        with self.part.open("rb") as stream:
            for offset, wanted in self._read_marks():
                while digest.size < offset and (piece := stream.read(min(BLOCK, offset - digest.size))):
                    digest.update(piece)
                    seen(len(piece))
                if digest.size != offset or offset > self.expected.size:
                    break
                if digest.sha256 == wanted:
                    self.digest = digest.copy()
                    kept.append((offset, wanted))
        return kept
