"""The images that hosts build: what goes in, and the name that says so. Pure, but for reading this clone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from voicestack.paths import ROOT
from voicestack.remote import File


class Build(NamedTuple):
    """A build's context, and the image's name: its tag is a hash of all that goes in."""

    files: dict[str, File]
    name: str


def agent(base: str, whisper_device: str) -> Build:
    """The voice agent's, on the image `base`."""
    root = ROOT / "agent"
    package = (path for path in (root / "voice_agent").rglob("*") if "__pycache__" not in path.parts)
    lists = ("Dockerfile", ".dockerignore", "requirements.txt", "requirements-cuda.txt")
    files = _read(root, (*(root / name for name in lists), *package))
    return Build(files, _name("voice-agent", files, base, whisper_device))


def caddy(image: str, client_sha256: str) -> Build:
    """Caddy's with the page to talk from, which has LiveKit's client."""
    root = ROOT / "talk"
    files = _read(root, root.rglob("*"))
    return Build(files, _name("voice-caddy", files, image, client_sha256))


def _read(root: Path, paths: Iterable[Path]) -> dict[str, File]:
    return {path.relative_to(root).as_posix(): File(path.read_bytes()) for path in sorted(paths) if path.is_file()}


def _name(repository: str, files: dict[str, File], *arguments: str) -> str:
    digest = hashlib.sha256(" ".join(arguments).encode())
    for path, file in files.items():
        digest.update(f"\0{path}\0{len(file.content)}\0".encode() + file.content)
    return f"{repository}:{digest.hexdigest()[:16]}"
