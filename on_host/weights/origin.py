"""Where a model's bytes come from: the Hub, a mirror of it, a directory, a tarball. All answer the same questions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol, TypeVar

T = TypeVar("T")

TRIES = 3
"""How often a question is asked when the line fails."""

PATIENCE_S = 2.0
"""Before the second try; doubled each time."""


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
class RemoteFile:
    """One file of a model as its origin lists it.

    Attributes:
        size: bytes.
        sha256: of its content, where the origin knows it (the Hub: for files in large-file storage).
        git_sha1: of the git blob, where the origin knows that.
    """

    path: str
    size: int
    sha256: str | None = None
    git_sha1: str | None = None


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

    def listing(self) -> dict[str, RemoteFile]:
        """Every file of the commit by path."""

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


def patiently(step: Callable[[], T], wait: Callable[[float], object]) -> T:
    """Do `step`, again where the line failed.

    Raises:
        RefusedError: what the last try said.
    """
    for failures in range(TRIES):
        try:
            return step()
        except UnreachableError as error:
            if failures == TRIES - 1:
                raise
            wait(max(error.retry_after_s, PATIENCE_S * 2**failures))
    raise AssertionError("not reached")


def selected(
    listing: Mapping[str, RemoteFile], include: Iterable[str], exclude: Iterable[str]
) -> dict[str, RemoteFile]:
    """The files that the patterns choose (`*` crosses `/`, as on the Hub)."""
    return {
        path: file
        for path, file in listing.items()
        if any(fnmatchcase(path, pattern) for pattern in include)
        and not any(fnmatchcase(path, pattern) for pattern in exclude)
    }


def check_patterns(listing: Mapping[str, RemoteFile], include: Iterable[str]) -> None:
    """Every pattern must choose something.

    Raises:
        RefusedError: one does not.
    """
    for pattern in include:
        if not any(fnmatchcase(path, pattern) for path in listing):
            raise RefusedError(f"No file matches {pattern!r}; there are: {', '.join(sorted(listing))}")
