"""Releases of vllm-omni: which stage file and which flag each one reads, and which cannot serve Voxtral. Pure.

The tag of the image is the one version setting; a digest may follow it, but does not tell the release.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Release:
    """One release: its stage file's schema and the flag that names the file.

    `stage_args` is the old schema: the file wins over the command line. With `stages` the command line wins, and its
    flags reach every stage. Either way, memory, sequences and contexts must be in the file alone.
    """

    schema: Literal["stage_args", "stages"]
    flag: Literal["--stage-configs-path", "--deploy-config"]


RELEASES = {
    "0.18.0": Release("stage_args", "--stage-configs-path"),
    "0.30.0": Release("stages", "--deploy-config"),
}
"""Those that were started, on a CPU (tests/engines); tests/render/readers compares the template with their own file."""

BROKEN = {
    "0.24.0": "it speaks something unrelated to the text (vllm-omni #4949, mended by #4954 in 0.25.0rc1)",
}
_FIRST_WITH_VOXTRAL = (0, 18, 0)


def release_number(image: str) -> str | None:
    """`0.18.0` of `vllm/vllm-omni:v0.18.0@sha256:…`; None if the tag names no release ("latest")."""
    tag = image.partition("@")[0].rpartition(":")[2]
    match = re.fullmatch(r"v?([0-9]+\.[0-9]+\.[0-9]+)", tag)
    return match[1] if match else None


def release_of(image: str) -> Release:
    """The release of an image that `refusal` accepts."""
    return RELEASES[release_number(image) or ""]


def refusal(image: str) -> str | None:
    """Why this image cannot serve Voxtral, with the fix; None if it can."""
    use = f"use a tag of {', '.join(f'v{number}' for number in RELEASES)}"
    name, _, tag = image.partition("@")[0].rpartition(":")
    if not name.endswith("vllm-omni"):
        return f"{name} cannot serve Voxtral-4B-TTS (no module 'acoustic_transformer'); use vllm/vllm-omni"
    number = release_number(image)
    if number is None:
        return f"{tag} names no release of vllm-omni, and the stage file must be written for one; {use}"
    if number in BROKEN:
        return f"vllm-omni {number} is broken for Voxtral: {BROKEN[number]}; {use}"
    if tuple(map(int, number.split("."))) < _FIRST_WITH_VOXTRAL:
        return f"vllm-omni {number} does not know Voxtral-4B-TTS, 0.18.0 is the first that does; {use}"
    if number not in RELEASES:
        return f"the stage file was not compared with that of vllm-omni {number}; {use}"
    return None
