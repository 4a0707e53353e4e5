"""The images that hosts build: what goes in, and the name that says so. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from voicestack.paths import ROOT
from voicestack.remote import File
from voicestack.settings.load import Settings
from voicestack.settings.memory import plan


def agent_sources(settings: Settings) -> tuple[dict[str, File], str]:
    """The agent's build context, and its image's name: the tag is a hash of all that goes in."""
    root = ROOT / "agent"
    package = (path for path in (root / "voice_agent").rglob("*") if "__pycache__" not in path.parts)
    lists = ("Dockerfile", ".dockerignore", "requirements.txt", "requirements-cuda.txt")
    files = _read(root, (*(root / name for name in lists), *package))
    return files, _name("voice-agent", files, settings.image.agent_base, plan(settings).whisper_device)


def caddy_sources(settings: Settings) -> tuple[dict[str, File], str]:
    """The same for Caddy with the page to talk from."""
    root = ROOT / "talk"
    files = _read(root, root.rglob("*"))
    return files, _name("voice-caddy", files, settings.image.caddy, settings.talk.client_sha256)


def caddy_image(settings: Settings) -> str:
    """The image that Caddy runs: the vendor's, or with the page the one that the host builds."""
    return caddy_sources(settings)[1] if settings.talk.enabled else settings.image.caddy


def _read(root: Path, paths: Iterable[Path]) -> dict[str, File]:
    return {path.relative_to(root).as_posix(): File(path.read_bytes()) for path in sorted(paths) if path.is_file()}


def _name(repository: str, files: dict[str, File], *arguments: str) -> str:
    digest = hashlib.sha256(" ".join(arguments).encode())
    for path, file in files.items():
        digest.update(f"\0{path}\0{len(file.content)}\0".encode() + file.content)
    return f"{repository}:{digest.hexdigest()[:16]}"
