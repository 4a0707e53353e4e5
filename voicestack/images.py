"""The images that hosts build: what goes in, and the name that says so. Pure, but for reading directories here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from voicestack.paths import ROOT
from voicestack.remote import File

OURS = ROOT / "agent"

MOST_MIB = 32
"""Of an agent's directory: it is read into memory and travels through ssh."""

NOT_SENT = {".env", ".git", ".venv", "__pycache__"}


class Build(NamedTuple):
    """A build's context, the arguments that its result depends on, and the image's name: its tag is a hash of both."""

    files: dict[str, File]
    arguments: Mapping[str, str]
    name: str


def agent(directory: Path, base: str, whisper_device: str) -> Build:
    """The voice agent's; ours is made of what its Dockerfile copies, and another one of all its files."""
    if directory == OURS:
        package = (path for path in (OURS / "voice_agent").rglob("*") if "__pycache__" not in path.parts)
        lists = ("Dockerfile", ".dockerignore", "requirements.txt", "requirements-cuda.txt")
        files = _read(OURS, (*(OURS / name for name in lists), *package))
    else:
        files = _read(directory, _sent(directory))
    return _build("voice-agent", files, {"BASE_IMAGE": base, "WHISPER_DEVICE": whisper_device})


def caddy(image: str, client_sha256: str) -> Build:
    """Caddy's with the page to talk from, which has LiveKit's client."""
    root = ROOT / "talk"
    return _build("voice-caddy", _read(root, root.rglob("*")), {"CADDY_IMAGE": image, "CLIENT_SHA256": client_sha256})


def directory(source: str) -> Path:
    """Where `agent_source` is; it may be seen from this clone."""
    return (ROOT / Path(source).expanduser()).resolve()


def buildable(source: str) -> str:
    """`source`, if an image can be built from it.

    Raises:
        ValueError: it has no Dockerfile, or more than anybody would send through ssh.
    """
    place, size = directory(source), 0
    if not (place / "Dockerfile").is_file():
        raise ValueError(f"{place} has no Dockerfile; docs/agent.md says what it must make, 'agent' is this clone's")
    for path in () if place == OURS else _sent(place):
        size += path.stat().st_size
        if size > MOST_MIB << 20:
            raise ValueError(
                f"{place} holds more than {MOST_MIB} MiB, and all of it travels to the host; name a directory with "
                "what the Dockerfile copies: weights are mounted (docs/agent.md)"
            )
    return source


def _sent(root: Path) -> Iterator[Path]:
    return (path for path in root.rglob("*") if path.is_file() and not NOT_SENT & {*path.relative_to(root).parts})


def _read(root: Path, paths: Iterable[Path]) -> dict[str, File]:
    return {
        path.relative_to(root).as_posix(): File(path.read_bytes(), 0o755 if path.stat().st_mode & 0o100 else 0o644)
        for path in sorted(paths)
        if path.is_file()
    }


def _build(repository: str, files: dict[str, File], arguments: dict[str, str]) -> Build:
    digest = hashlib.sha256(" ".join(arguments.values()).encode())
    for path, file in files.items():
        digest.update(f"\0{path}\0{file.mode:o}\0{len(file.content)}\0".encode() + file.content)
    return Build(files, arguments, f"{repository}:{digest.hexdigest()[:16]}")
