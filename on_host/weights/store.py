"""The disk's side of a fetch: stage beside, verify while writing, sync, swap.

Below the weights' directory: `.staging/NAME-REVISION12/` grows file by file and survives a kill. Only a whole,
verified directory takes the name `NAME`, in one step in which what stood there goes to `.replaced/NAME-TIME`. Nothing
of that is deleted before the operator's setting says so.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from on_host.weights.digest import Expected, digest_of
from on_host.weights.part import Part

PROVENANCE = ".provenance.json"
STAGING = ".staging"
REPLACED = ".replaced"
VERIFIED = ".verified"
"""In a staging directory: the sha256 of each file that was verified."""

HEADROOM = 512 * 1024 * 1024
"""Bytes that stay free on the disk of the weights."""

INODES_PER_FILE = 3
"""A file, its marks while it grows, and its share of directories."""

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


class DiskError(Exception):
    """The disk cannot do what is needed; the message says what is missing."""


class Staging:
    """The place where one revision of one model is put together."""

    def __init__(self, directory: Path, name: str, revision: str) -> None:
        self.name = name
        self.root = directory
        self.path = directory / STAGING / f"{name}-{revision[:12]}"
        self.target = directory / name

    def digest(self, path: str, expected: Expected) -> str | None:
        """The sha256 of a file that was staged and verified before; None if it is not there, or not `expected`."""
        if not _is_file_of(self.path / path, expected.size):
            return None
        noted = self._noted().get(path)
        if noted is not None and noted == expected.sha256:
            return noted
        found = _read_whole(self.path / path, expected)
        if found is not None:
            self.note(path, found)
        return found

    def note(self, path: str, sha256: str) -> None:
        """A staged file was verified: a later run need not read it again."""
        with (self.path / VERIFIED).open("a") as stream:
            stream.write(f"{sha256} {path}\n")

    def bytes_left(self, path: str, expected: Expected) -> int:
        """How many bytes of this file are still to be fetched."""
        if self.digest(path, expected) is not None:
            return 0
        return expected.size - Part(self.path / path, expected).vouched()

    def may_adopt(self, path: str, expected: Expected) -> bool:
        """Whether the model in place has a file of that name and size, and it is not staged already."""
        return _is_file_of(self.target / path, expected.size) and self.digest(path, expected) is None

    def adopt(self, path: str, expected: Expected, known: str | None, seen: Callable[[int], None]) -> bool:
        """Take a file that may be adopted from the model in place, if it is the same one byte for byte.

        Args:
            path: of the file below the model's directory.
            expected: what it must be.
            known: its sha256, if it was read a moment ago.
            seen: is told of the bytes that are read.
        """
        old = self.target / path
        if known is None or known != expected.sha256:
            known = _read_whole(old, expected, seen)
        if known is None or not _link(old, self.path / path):
            return False
        self.note(path, known)
        return True

    def install(self, provenance: Mapping[str, Any]) -> Path | None:
        """Write the provenance, sync everything, swap it in; returns where the old content went."""
        self._drop_strangers(set(provenance["files"]))
        with (self.path / PROVENANCE).open("w") as stream:
            stream.write(json.dumps(provenance, indent=2, sort_keys=True) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        for folder, _, _ in os.walk(self.path):
            Path(folder).chmod(0o755)
            sync_directory(Path(folder))
        aside = swap_in(self.root, self.name, self.path)
        self._drop_other_stagings()
        return aside

    def _noted(self) -> dict[str, str]:
        """Path -> sha256 of what was verified here; the last word counts."""
        notes = self.path / VERIFIED
        lines = notes.read_text().splitlines() if notes.exists() else []
        return {path: sha256 for sha256, _, path in (line.partition(" ") for line in lines)}

    def _drop_strangers(self, wanted: set[str]) -> None:
        """What an earlier attempt with another selection of files left here."""
        for file in [f for f in self.path.rglob("*") if f.is_file()]:
            if file.relative_to(self.path).as_posix() not in wanted:
                file.unlink()

    def _drop_other_stagings(self) -> None:
        """Half-fetched revisions of this model that nobody wants any more."""
        for other in self.path.parent.glob(f"{self.name}-{'?' * 12}"):
            shutil.rmtree(other)


def _is_file_of(path: Path, size: int) -> bool:
    """Whether this is a file, not a link to one, of `size` bytes."""
    return path.is_file() and not path.is_symlink() and path.stat().st_size == size


def _read_whole(file: Path, expected: Expected, seen: Callable[[int], None] = lambda count: None) -> str | None:
    """The sha256 of a file that is what was expected, or None, also where the disk cannot read it."""
    try:
        digest = digest_of(file, expected, seen)
    except OSError:
        return None
    return None if digest.mismatch() else digest.sha256


def _link(old: Path, new: Path) -> bool:
    """Whether `new` could be made a second name of `old`; not on another disk, nor where there are no hard links."""
    new.parent.mkdir(parents=True, exist_ok=True)
    new.unlink(missing_ok=True)
    try:
        os.link(old, new)
        new.chmod(0o644)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            return False
        raise
    return True


def swap_in(root: Path, name: str, incoming: Path) -> Path | None:
    """Give `incoming` (a whole model on the same disk) the name `name`; whoever looks sees the old or the new.

    The new one first takes the place that the old one will have, and then both change places: a kill between the
    two steps leaves a verified model in `.replaced`, which the next run finds and swaps in.

    Returns:
        where what stood there is now, or None if nothing did.
    """
    target = root / name
    if not os.path.lexists(target):
        incoming.rename(target)
        sync_directory(root)
        return None
    aside = _aside(root, name)
    incoming.rename(aside)
    sync_directory(aside.parent)
    exchange(target, aside)
    sync_directory(root)
    sync_directory(aside.parent)
    return aside


def set_aside(root: Path, name: str) -> Path:
    """Move `name` to where replaced models are; returns where that is."""
    aside = _aside(root, name)
    (root / name).rename(aside)
    sync_directory(root)
    sync_directory(aside.parent)
    return aside


def exchange(one: Path, other: Path) -> None:
    """Swap two names in one step; where the file system cannot (NFS), in three, between which `one` is absent."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return
    code = ctypes.get_errno()
    if code not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
        raise OSError(code, os.strerror(code), str(one))
    between = other.with_name(f"{other.name}.swap")
    one.rename(between)
    other.rename(one)
    between.rename(other)


def _aside(root: Path, name: str) -> Path:
    """A free place for what is replaced; its name says when, for the setting that limits how long it is kept."""
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = root / REPLACED / f"{name}-{stamp}"
    aside.parent.mkdir(exist_ok=True)
    return aside


def delete(directory: Path) -> int:
    """Delete a replaced model; returns the bytes that this freed."""
    held = held_by(directory)
    if directory.is_dir() and not directory.is_symlink():
        shutil.rmtree(directory)
    else:
        directory.unlink()
    return held


def held_by(path: Path) -> int:
    """Bytes on the disk that deleting `path` would free: files that the model in place shares do not count."""
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    stats = [file.lstat() for file in files if file.is_symlink() or file.is_file()]
    return sum(stat.st_blocks * 512 for stat in stats if stat.st_nlink == 1)


def check_space(directory: Path, wanted: int, files: int) -> None:
    """Whether `wanted` more bytes in `files` more files fit.

    Raises:
        DiskError: they do not.
    """
    disk = os.statvfs(directory)
    free = disk.f_bavail * disk.f_frsize
    if free < wanted + HEADROOM:
        replaced = directory / REPLACED
        held = held_by(replaced) if replaced.exists() else 0
        raise DiskError(
            f"The disk of {directory} has {free / 1e9:.1f} GB free; {wanted / 1e9:.1f} GB are to be fetched and "
            f"{HEADROOM / 1e9:.1f} GB shall stay free. {replaced} holds {held / 1e9:.1f} GB of replaced models: "
            "weights_keep_replaced_days says how long."
        )
    inodes = files * INODES_PER_FILE
    if disk.f_files and disk.f_favail < inodes:
        raise DiskError(
            f"The disk of {directory} has {disk.f_favail} inodes free; {files} files are to come, which need up to "
            f"{inodes}. Delete small files there, or use another disk (weights_directory)."
        )


@contextmanager
def only_one(directory: Path) -> Iterator[None]:
    """Keep a second fetch out of `directory`.

    Raises:
        DiskError: one is at work already.
    """
    # Not "w": somebody else's file of that name keeps its content.
    with (directory / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DiskError(f"Another fetch into {directory} is at work; wait for its end.") from None
        yield


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
