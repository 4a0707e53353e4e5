"""The models a host may hold: which repository, which revision, which files, under which licence.

The data stands in group_data (`weights_catalog`); this is its shape. Fetched are those that other settings name.
A model's name, its key in the data, is its directory's name below `weights_directory`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from voicestack.settings.types import Section

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
"""No leading dot: `.staging` and `.replaced` are ours."""

Repo = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")]
Revision = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Architecture = Literal["voxtral_tts", "llama_guard_3", "whisper_ct2"]


class Pin(Section):
    """What one file must be, whatever the Hub says; `size` in bytes."""

    sha256: Sha256 | None = None
    size: Annotated[int, Field(ge=0)] | None = None


class Model(Section):
    """One model: the revision is a commit, because a branch moves and a tag can."""

    name: Name
    repo: Repo
    revision: Revision
    architecture: Architecture
    include: Annotated[tuple[str, ...], Field(min_length=1)]
    exclude: tuple[str, ...] = ()
    files: dict[str, Pin] = Field(default_factory=dict)
    licence: str
    gated: bool = False


KeepDays = int | Literal["forever"]
"""How long a replaced model is kept."""

Catalog = Mapping[str, Model]
"""Models by name, in the order in which they are fetched."""
