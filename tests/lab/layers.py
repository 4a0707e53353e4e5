"""Image layers without a Docker engine: compressed tar files, cached by what went into them."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BufferedRandom, BytesIO
from pathlib import Path

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


def _cached(key: str, what: str, fill: Callable[[BufferedRandom], object]) -> Layer:
    """The layer of this key; `fill` writes its tar file when there is none yet."""
    archive = CACHE / "layers" / f"{key}.tar.gz"
    record = archive.with_name(f"{key}.json")
    if not (record.exists() and archive.exists()):
        archive.parent.mkdir(parents=True, exist_ok=True)
        with step(what), tempfile.TemporaryFile(dir=archive.parent) as plain, archive.open("w+b") as packed:
            fill(plain)
            plain.seek(0)
            with gzip.GzipFile("", "wb", compresslevel=4, fileobj=packed, mtime=0) as zipped:
                shutil.copyfileobj(plain, zipped, 1 << 20)
            layer = Layer(str(archive), _digest(packed), _digest(plain), packed.tell())
        unfinished = record.with_suffix(".new")
        unfinished.write_text(json.dumps(asdict(layer)))
        unfinished.rename(record)
    return Layer(**json.loads(record.read_text()))


def _digest(file: BufferedRandom) -> str:
    file.seek(0)
    return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def debian(packages: Sequence[str], *, variant: str = "minbase", hook: str = "") -> Layer:
    """A Debian root filesystem with these packages; `hook` is shell that may change it ($1 is its root)."""
    command = ["mmdebstrap", f"--variant={variant}", f"--include={','.join(packages)}", "--format=tar"]
    # Device nodes cannot be made where images are unpacked inside a container; Docker brings its own /dev.
    command += ["--skip=output/dev"]
    stage = "extract" if variant == "extract" else "customize"
    command += [f"--{stage}-hook={hook}"] if hook else []
    command += [SUITE, "-", mirror()]

    def fill(target: BufferedRandom) -> None:
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(_EPOCH)}
        done = subprocess.run(command, stdout=target, stderr=subprocess.PIPE, env=environment, check=False)
        if done.returncode != 0:
            raise LabError(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr.decode()[-2000:]}")

    return _cached(content_hash(["debian", *command]), f"image layer: Debian with {', '.join(packages)}", fill)


def files(what: str, entries: Mapping[str, File | Link]) -> Layer:
    """A layer of these files, owned by root; keys are absolute paths, and a key that ends in / is a directory."""
    read = {path: entry.read() if isinstance(entry, File) else entry.target for path, entry in entries.items()}
    key = content_hash(["files", *(part for path, data in read.items() for part in (path, data))])

    def fill(target: BufferedRandom) -> None:
        with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            for path in sorted(read):
                member, data = _member(path, entries[path], read[path])
                archive.addfile(member, BytesIO(data))

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
