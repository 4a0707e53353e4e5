"""The inside of a backup: a tar with a manifest that names every file and its digest. Pure, in memory.

Plain tar, so that `age -d FILE | tar x` reads it without this program.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from voicestack.backup.places import belongs
from voicestack.settings.catalog import Sha256
from voicestack.settings.types import HostName

MANIFEST = "voice-backup.json"
LARGEST = 64 * 1024 * 1024
"""Bytes of a backup; a real one has some tens of kilobytes."""

Printable = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,300}$")]
"""Nothing that steers a terminal: whoever has a public key can write a manifest."""

_END = bytes(2 * tarfile.BLOCKSIZE)
_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)


class BundleError(Exception):
    """It is no backup, or not as it was made; the message says why and repeats no content."""


class Manifest(BaseModel):
    """What a backup says of itself: whose it is, when and by which commit it was made (times are UTC, ISO 8601).

    `images` are those that the host ran by its settings; `files` are SHA-256 by path.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    domain: HostName
    host: Printable
    made: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\+00:00$")]
    commit: Annotated[str, Field(pattern=r"^([0-9a-f]{40}(-dirty)?|unknown)$")]
    images: dict[Printable, Printable]
    files: dict[str, Sha256]


@dataclass(frozen=True)
class Bundle:
    """A backup: its manifest, and the content of its files by path."""

    manifest: Manifest
    files: Mapping[str, bytes] = field(repr=False)


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 by path."""
    return {path: hashlib.sha256(content).hexdigest() for path, content in sorted(files.items())}


def pack(bundle: Bundle) -> bytes:
    """The bundle as a tar: the manifest first, every file root's alone."""
    buffer = io.BytesIO()
    manifest = bundle.manifest.model_dump_json(indent=2).encode() + b"\n"
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in [(MANIFEST, manifest), *sorted(bundle.files.items())]:
            member = tarfile.TarInfo(path)
            member.size = len(content)
            member.mode = 0o600
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def unpack(content: bytes) -> Bundle:
    """The bundle in a tar that `pack` made.

    Raises:
        BundleError: anything in it is not as it must be.
    """
    files = members(content)
    try:
        manifest = Manifest.model_validate_json(files.pop(MANIFEST, b""))
    except ValidationError as error:
        raise BundleError(_manifest_problem(error)) from None
    strange = sorted(path for path in files if not belongs(path))
    if strange:
        raise BundleError(f"it holds what no backup holds: {_shown(strange)}")
    found, told = digests(files), manifest.files
    differing = sorted(path for path in found.keys() | told.keys() if found.get(path) != told.get(path))
    if differing:
        raise BundleError(f"these are not as its manifest says: {_shown(differing)}")
    return Bundle(manifest, files)


def members(content: bytes) -> dict[str, bytes]:
    """The files in a tar, by path.

    Raises:
        BundleError: it is no tar, cut, or has something else than plain files in it, or a name twice.
    """
    files: dict[str, bytes] = {}
    if not content.endswith(_END):
        raise BundleError(
            "its content is no whole tar archive"
        )  # tarfile reads one that ends at a header without a word
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for member in archive:
                if member.type not in _PLAIN:
                    raise BundleError(f"it holds what is no plain file: {_shown([member.name])}")
                if member.name in files:
                    raise BundleError(f"it holds a name twice: {_shown([member.name])}")
                reader = archive.extractfile(member)
                files[member.name] = reader.read() if reader else b""
    except (tarfile.TarError, OSError, ValueError, OverflowError):
        raise BundleError("its content is no whole tar archive") from None
    return files


def _manifest_problem(error: ValidationError) -> str:
    if any(each["loc"] == ("format",) for each in error.errors()):
        return "it has another format than this clone knows; restore it with the commit that made it, or a newer one"
    return f"it has no readable {MANIFEST}: it was not made by deploys/backup.py"


def _shown(paths: list[str]) -> str:
    """Names for a message: whatever they are, one line, not without end."""
    more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
    return ", ".join(ascii(path)[:200] for path in paths[:5]) + more
