"""Settings to render with: every value of every dimension that changes a file, each with each of the others."""

from __future__ import annotations

import functools
import itertools
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.conftest import default_data
from voicestack.host.platform import Platform
from voicestack.remote import File
from voicestack.settings import omni
from voicestack.settings.load import parse
from voicestack.settings.model import Settings
from voicestack.stack import render

FACTS = render.HostFacts(public_address="192.0.2.10", agent_image="voice-agent:0123456789abcdef")

WORDS = "Grüß Gott, $HOME ${USER} $$ %s # 'ein' \"Wort\" \\n HF_TOKEN=x = `id`"
"""What an operator may write into a sentence, and what every reader of an env file would like to expand."""

Values = dict[str, dict[str, Any]]
"""The values of one dimension: a name -> the settings that make it."""

GROUPS: tuple[dict[str, Values], ...] = (
    {
        "schema": {"old": {}, "new": {"image_vllm_voxtral": "vllm/vllm-omni:v0.30.0"}},
        "guard": {
            "gpu0": {},
            "gpu1": {"guard_placement": "gpu1"},
            "elsewhere": {"guard_placement": "https://guard.example.org:8443"},
        },
        "card": {name: {"gpu_card": name} for name in ("L4", "46068", "81559")},
        "whisper": {"auto": {}, "cpu": {"agent_whisper_device": "cpu"}},
        "words": {"plain": {}, "awkward": {"agent_greeting": WORDS, "agent_name": "", "guard_eager": False}},
    },
    {
        "certificates": {name: {"site_acme": name} for name in ("production", "staging", "internal")},
        "turn": {
            "on": {},
            "off": {"livekit_turn_enabled": False, "livekit_stun_servers": ["stun.example.org:3478"]},
        },
        "talk": {"off": {}, "on": {"talk_enabled": True}},
        "account": {"nameless": {}, "named": {"site_acme_email": "operator@example.org"}},
    },
    {"vllm-omni": {number: {"image_vllm_voxtral": f"vllm/vllm-omni:v{number}"} for number in omni.RELEASES}},
)
"""Dimensions of one group are combined, each value with each of the others. No line of a template depends on
dimensions of two groups.
"""

PLATFORMS = {
    "ubuntu2204": Platform("ubuntu", "2204", "jammy", "6.8.0-1021-aws", "aws"),
    "ubuntu2404": Platform("ubuntu", "2404", "noble", "6.8.0-1021-aws", "aws"),
    "debian12": Platform("debian", "12", "bookworm", "6.1.0-32-cloud-amd64", "cloud-amd64"),
    "debian13": Platform("debian", "13", "trixie", "6.12.38-cloud-amd64", "cloud-amd64"),
}
"""The distributions; they decide the host's files and packages, and nothing in the stack's own files."""


@dataclass(frozen=True)
class Case:
    """One set of settings and the stack's files."""

    name: str
    settings: Settings
    files: dict[str, File]

    def text(self, path: str) -> str:
        """A file's text."""
        return self.files[path].content.decode()


def case(name: str = "defaults", **changes: Any) -> Case:
    """The defaults with some settings changed."""
    settings = parse({**default_data(), **changes})
    return Case(name, settings, render.render(settings, FACTS))


@functools.cache
def cases() -> tuple[Case, ...]:
    """The whole matrix."""
    return tuple(
        case("-".join(name for name, _ in values), **{key: value for _, each in values for key, value in each.items()})
        for group in GROUPS
        for values in itertools.product(*(dimension.items() for dimension in group.values()))
    )


def distinct(*prefixes: str) -> list[Case]:
    """One case for each different content of the files below these paths: what a reader of them can tell apart.

    The hashes of other files, in compose.yml's labels, are no difference.
    """
    found: dict[tuple[tuple[str, bytes], ...], Case] = {}
    for each in cases():
        read = {path: file.content for path, file in each.files.items() if path.startswith(prefixes)}
        key = tuple((path, re.sub(rb"voice.inputs: \w+", b"", content)) for path, content in read.items())
        found.setdefault(key, each)
    return list(found.values())


@contextmanager
def changed_templates(directory: Path, name: str, text: str) -> Iterator[None]:
    """Templates of which one has another text."""
    copies = directory / "templates"
    shutil.copytree(render.TEMPLATES, copies)
    (copies / name).write_text(text)
    with patch.object(render, "TEMPLATES", copies):
        yield
