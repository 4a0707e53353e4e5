"""Image layers without a Docker engine: compressed tar files, cached by what went into them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.lab.console import step
from tests.lab.daemon import LabError
from tests.lab.disk import content_hash
from tests.lab.places import CACHE
from tests.lab.rootfs import SUITE, mirror

_EPOCH = 1_700_000_000
"""The time stamp of everything in a layer, so that equal content has an equal digest."""


@dataclass(frozen=True)
class Layer:
    """One layer on disk, with the two digests an image names it by (compressed and not)."""

    path: str
    digest: str
    diff_id: str
    size: int


@dataclass(frozen=True)
class File:
    """A file to put into a layer: bytes, or a path to copy from."""

    content: bytes | Path
    mode: int = 0o644
    capability: str | None = None
    """The value of its security.capability attribute, as setcap would write it."""

    def read(self) -> bytes:
        """The bytes."""
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: str


class _Sink(Protocol):
    """What the layers are written into."""

    def write(self, data: bytes, /) -> object: ...


class _Hashed(io.RawIOBase):
    """Writes through and hashes on the way."""

    def __init__(self, below: _Sink) -> None:
        self._below = below
        self._digest = hashlib.sha256()

    def write(self, data: Any, /) -> int:
        self._digest.update(data)
        self._below.write(data)
        return len(data)

    @property
    def digest(self) -> str:
        return f"sha256:{self._digest.hexdigest()}"


def _cached(key: str, what: str, fill: Callable[[_Hashed], None]) -> Layer:
    """The layer of this key; `fill` writes its tar file when there is none yet."""
    archive = CACHE / "layers" / f"{key}.tar.gz"
    record = archive.with_name(f"{key}.json")
    if not (record.exists() and archive.exists()):
        archive.parent.mkdir(parents=True, exist_ok=True)
        with step(what), archive.open("wb") as raw:
            packed = _Hashed(raw)
            with gzip.GzipFile("", "wb", compresslevel=4, fileobj=packed, mtime=0) as zipped:
                plain = _Hashed(zipped)
                fill(plain)
        layer = Layer(str(archive), packed.digest, plain.digest, archive.stat().st_size)
        unfinished = record.with_suffix(".new")
        unfinished.write_text(json.dumps(asdict(layer)))
        unfinished.rename(record)
    return Layer(**json.loads(record.read_text()))


def debian(packages: Sequence[str], *, variant: str = "minbase", hook: str = "") -> Layer:
    """A Debian root filesystem with these packages; `hook` is shell that may change it ($1 is its root)."""
    command = ["mmdebstrap", f"--variant={variant}", f"--include={','.join(packages)}", "--format=tar"]
    # Device nodes cannot be made where images are unpacked inside a container; Docker brings its own /dev.
    command += ["--skip=output/dev"]
    stage = "extract" if variant == "extract" else "customize"
    command += [f"--{stage}-hook={hook}"] if hook else []
    command += [SUITE, "-", mirror()]

    def fill(target: _Hashed) -> None:
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(_EPOCH)}
        log = CACHE / "layers" / "mmdebstrap.log"
        with (
            log.open("wb") as errors,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=environment) as process,
        ):
            assert process.stdout is not None
            shutil.copyfileobj(process.stdout, target, 1 << 20)
        if process.returncode != 0:
            raise LabError(f"{' '.join(command)}: exit {process.returncode}\n{log.read_text()[-2000:]}")

    return _cached(content_hash(["debian", *command]), f"image layer: Debian with {', '.join(packages)}", fill)


def files(what: str, entries: Mapping[str, File | Link]) -> Layer:
    """A layer of these files, owned by root; keys are absolute paths, and a key that ends in / is a directory."""
    read = {path: entry.read() if isinstance(entry, File) else entry.target for path, entry in entries.items()}
    key = content_hash(["files", *(part for path, data in read.items() for part in (path, data))])

    def fill(target: _Hashed) -> None:
        with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            for path in sorted(read):
                member, data = _member(path, entries[path], read[path])
                archive.addfile(member, io.BytesIO(data))

    return _cached(key, f"image layer: {what}", fill)


def _member(path: str, entry: File | Link, content: bytes | str) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(path.strip("/"))
    member.mtime = _EPOCH
    if isinstance(entry, Link):
        member.type, member.linkname = tarfile.SYMTYPE, entry.target
        return member, b""
    if path.endswith("/"):
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        return member, b""
    assert isinstance(content, bytes)
    member.size, member.mode = len(content), entry.mode
    if entry.capability is not None:
        member.pax_headers = {"SCHILY.xattr.security.capability": entry.capability}
    return member, content
