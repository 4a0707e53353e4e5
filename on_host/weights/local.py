"""A directory or a tarball on the host as the origin: for hosts that cannot reach a Hub, and for disks that travel.

Below it lies one directory for each model, with the model's name in the catalog. It is verified like the Hub's:
the digests come from the `.provenance.json` that this tool wrote beside the files on another host, or from the
metadata that `hf download --local-dir` leaves in `.cache/huggingface`, or from the catalog's pins.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from on_host.weights.digest import BLOCK, Expected
from on_host.weights.origin import RefusedError, Source
from on_host.weights.store import PROVENANCE

HUB_METADATA = ".cache/huggingface/download/"
"""Where the Hub's own client notes each file's commit and digest: three lines, the last one a time."""

MAX_NOTE = 1024 * 1024
"""Bytes of a provenance or metadata file that are read."""


class Where(NamedTuple):
    """The bytes of one file: from `offset` in `file`, `size` bytes."""

    file: Path
    offset: int
    size: int


class Local:
    """One model on a disk of the host.

    Args:
        root: the directory or tarball.
        name: the model's.
        source: what it must be.

    Raises:
        RefusedError: there is nothing of that kind.
    """

    def __init__(self, root: Path, name: str, source: Source) -> None:
        self.source = source
        self.place = f"{root}:{name}"
        self._root, self._name = root, name
        try:
            self._files = _directory(root / name) if root.is_dir() else _tarball(root, name)
        except FileNotFoundError:
            raise RefusedError(f"{root} does not exist on the host. Check the setting weights_source.") from None
        except tarfile.TarError as error:
            raise RefusedError(
                f"{root} is not a whole, uncompressed tar archive ({error}). Copy it once more, or uncompress it: "
                "weights do not get smaller, and a compressed archive cannot be read from the middle."
            ) from None

    def check_access(self) -> None:
        """Whether the model is there, and whether it says that it is the one we mean."""
        if not self._files:
            raise RefusedError(f"{self._root} has no directory {self._name}. Check the setting weights_source.")
        source, recorded = self._recorded()
        if source != self.source:
            raise RefusedError(f"{self.place} is {source} by its {PROVENANCE}, the catalog says {self.source}.")
        sizes = {path: where.size for path, where in self._files.items()}
        lacking = sorted(path for path, expected in recorded.items() if sizes.get(path) != expected.size)
        if lacking:
            raise RefusedError(f"{self.place} lacks (some of) {', '.join(lacking)} by its {PROVENANCE}. Copy it again.")

    def listing(self) -> dict[str, Expected]:
        """Every file by path, with the digest that was noted when it was fetched."""
        _, recorded = self._recorded()
        return {
            path: recorded.get(path) or self._noted(path, where.size)
            for path, where in self._files.items()
            if path != PROVENANCE and not path.startswith(".cache/")
        }

    @contextmanager
    def stream(self, path: str, start: int, end: int | None = None) -> Iterator[tuple[int, Iterator[bytes]]]:
        """The bytes of a file from `start` to before `end`; see Origin."""
        where = self._files[path]
        last = where.size if end is None else min(end, where.size)
        try:
            stream = where.file.open("rb")
        except OSError as error:
            raise RefusedError(f"{self.place}: {path} cannot be opened ({error.strerror}).") from None
        with stream:
            stream.seek(where.offset + start)
            yield start, self._pieces(path, stream, last - start)

    def _pieces(self, path: str, stream: BinaryIO, count: int) -> Iterator[bytes]:
        """The source's disk failing is no OSError: that would be taken for the weights' disk's."""
        while count > 0:
            try:
                piece = stream.read(min(BLOCK, count))
            except OSError as error:
                raise RefusedError(f"{self.place}: {path} cannot be read ({error.strerror}).") from None
            if not piece:
                return
            count -= len(piece)
            yield piece

    def _noted(self, path: str, size: int) -> Expected:
        """What the Hub's client noted beside a file of this size."""
        words = self._text(f"{HUB_METADATA}{path}.metadata").split()
        if len(words) != 3 or words[0] != self.source.revision:
            return Expected(size)
        return Expected(size, sha256=words[1]) if len(words[1]) == 64 else Expected(size, git_sha1=words[1])

    def _recorded(self) -> tuple[Source, dict[str, Expected]]:
        """What the provenance says that it is and holds; without one, what it must be and no file."""
        text = self._text(PROVENANCE)
        if not text:
            return self.source, {}
        try:
            value = json.loads(text)
            files = {path: Expected(int(each["size"]), str(each["sha256"])) for path, each in value["files"].items()}
            return Source(str(value["repo"]), str(value["revision"])), files
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise RefusedError(f"{self.place}: {PROVENANCE} cannot be read. Copy the model once more.") from None

    def _text(self, path: str) -> str:
        """A small file, or "" if there is none."""
        if path not in self._files:
            return ""
        with self.stream(path, 0, MAX_NOTE) as (_, pieces):
            return b"".join(pieces).decode("utf-8", errors="replace")


def _directory(root: Path) -> dict[str, Where]:
    found = (Path(folder) / file for folder, _, files in os.walk(root) for file in files)
    return {path.relative_to(root).as_posix(): Where(path, 0, path.stat().st_size) for path in found if path.is_file()}


def _tarball(archive: Path, name: str) -> dict[str, Where]:
    """Where the files of `NAME/` lie in a tar archive, which is read in place and never unpacked."""
    with tarfile.open(archive, "r:") as tar:
        members = {member.name.removeprefix("./"): member for member in tar if member.isreg() or member.islnk()}
        wanted = {path: member for path, member in members.items() if path.startswith(f"{name}/")}
        if any(member.issparse() for member in wanted.values()):
            raise RefusedError(f"{archive} was packed with --sparse. Pack it once more without.")
        # The second name of a hard link has no bytes of its own.
        try:
            holders = {path: tar.getmember(m.linkname) if m.islnk() else m for path, m in wanted.items()}
        except KeyError as error:
            raise RefusedError(f"{archive} has a link without its file ({error}). Pack it once more.") from None
    return {
        path.removeprefix(f"{name}/"): Where(archive, member.offset_data, member.size)
        for path, member in holders.items()
    }
