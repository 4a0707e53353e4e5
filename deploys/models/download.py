"""One file into the staging directory: resumed, hashed while it streams, verified before it gets its name."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from deploys.models.hub import Hub, RefusedError, Source, UnreachableError
from deploys.models.progress import Progress, say
from deploys.models.store import Digest, Expected, Staging, digest_of

TRIES = 6
"""Cuts in a row, without a byte between them, after which we give up."""

PATIENCE_S = 2.0
"""Before the second try; doubled each time."""


@dataclass
class Downloads:
    """Fetches the files of one model, one after the other."""

    hub: Hub
    source: Source
    staging: Staging
    progress: Progress
    sleep: Callable[[float], None] = time.sleep

    def fetch(self, path: str, expected: Expected) -> str:
        """Fetch what is missing of one file.

        Returns:
            its sha256.

        Raises:
            RefusedError: the Hub does not give the file, or gives another one twice.
            OSError: the disk is full or broken; what was written stays for the next run.
        """
        for _ in range(2):
            digest = self._complete(path, expected)
            problem = digest.mismatch()
            if problem is None:
                self.staging.finish(path)
                return digest.sha256
            self.staging.part(path).unlink()
            say(f"{self.staging.name}: {path} arrived damaged ({problem}).")
            self.progress.forget(digest.size)
        raise RefusedError(f"{self.source}: {path} arrived damaged twice ({problem}). Nothing was installed.")

    def _complete(self, path: str, expected: Expected) -> Digest:
        """Append to the `.part` until it has its size, however often the line is cut."""
        digest = self._resume(path, expected)
        failures = 0
        while digest.size < expected.size:
            before = digest.size
            try:
                self._append(path, digest)
            except UnreachableError as error:
                failures = 1 if digest.size > before else failures + 1
                if failures == TRIES:
                    raise
                say(f"{self.staging.name}: {path} stopped at {digest.size} bytes, resuming. {error}")
                self.sleep(PATIENCE_S * 2 ** (failures - 1))
        return digest

    def _resume(self, path: str, expected: Expected) -> Digest:
        """The digest of what an earlier run left: bytes count only after they were read back here."""
        part = self.staging.part(path)
        part.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
        if part.stat().st_size > expected.size:
            os.truncate(part, 0)
        digest = digest_of(part, expected)
        if digest.size:
            say(f"{self.staging.name}: {path} goes on at {digest.size} of {expected.size} bytes.")
        return digest

    def _append(self, path: str, digest: Digest) -> None:
        """One request's worth of bytes, on the disk when this returns."""
        part = self.staging.part(path)
        with self.hub.stream(self.source, path, digest.size) as (begins, pieces):
            if begins != digest.size:
                # The server does not do ranges: start over.
                self.progress.forget(digest.size)
                os.truncate(part, 0)
                digest.restart()
            with part.open("ab", buffering=0) as stream:
                for piece in pieces:
                    stream.write(piece)
                    digest.update(piece)
                    self.progress.add(len(piece))
                os.fsync(stream.fileno())
        if not digest.complete:
            raise UnreachableError(f"{self.source}: {path} ended early.")
