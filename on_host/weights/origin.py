"""Where a model's bytes come from: the Hub, a mirror of it, a directory, a tarball. All answer the same questions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from on_host.weights.digest import Expected


class RefusedError(Exception):
    """We do not get this, or something else than we mean is offered; the message says what to do."""


class UnreachableError(RefusedError):
    """The line failed: refused, timed out, cut, or the server has trouble. Worth another try.

    Attributes:
        retry_after_s: how long the server asks us to wait.
    """

    def __init__(self, message: str, retry_after_s: float = 0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Source:
    """One repository at one commit."""

    repo: str
    revision: str

    def __str__(self) -> str:
        return f"{self.repo}@{self.revision[:12]}"


class Origin(Protocol):
    """One model at one place. Every method may raise RefusedError, and UnreachableError where a line is used."""

    source: Source

    @property
    def place(self) -> str:
        """Where this is, for the provenance file: no user name, no password."""

    def check_access(self) -> None:
        """Whether we may have the model, and whether this commit of it is there."""

    def listing(self) -> dict[str, Expected]:
        """Every file of the commit by path, as far as the origin knows what it must be."""

    def stream(
        self, path: str, start: int, end: int | None = None
    ) -> AbstractContextManager[tuple[int, Iterator[bytes]]]:
        """The bytes of a file from `start` to before `end` (None: to its end).

        Yields:
            where the bytes really start (0 if ranges are ignored), and the pieces as they arrive.
        """


def read(origin: Origin, path: str, start: int, length: int) -> bytes:
    """`length` bytes of a file from `start`; fewer where it ends earlier."""
    with origin.stream(path, start, start + length) as (begins, pieces):
        content = bytearray()
        for piece in pieces:
            content += piece
            if begins + len(content) >= start + length:
                break
        return bytes(content[start - begins :][:length])
