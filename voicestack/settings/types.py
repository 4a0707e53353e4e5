"""What every section is, and the types that several of them use."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Port = Annotated[int, Field(ge=1, le=65535)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[int, Field(ge=1)]
Url = Annotated[str, Field(pattern=r"^https?://[^\s/@]+(/[^\s]*)?$")]
"""Without a user and password: an address ends in arguments and logs."""

Fingerprint = Annotated[str, Field(pattern=r"^[0-9A-F]{40}$")]
HostName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$")]
ImageReference = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9._/:-]*:[A-Za-z0-9_][A-Za-z0-9._-]*(@sha256:[0-9a-f]{64})?$")
]


def _region(value: str) -> str:
    if re.fullmatch(r"[a-z]{2,4}(-[a-z]+)+-[0-9]", value):
        return value
    raise ValueError("not the name of a region, as eu-central-1 is; a pattern like eu-* would let in London and Zurich")


Region = Annotated[str, AfterValidator(_region)]
PackageVersion = Annotated[str, Field(pattern=r"^([0-9]+:)?[0-9][A-Za-z0-9.+~-]*$")]
"""As Debian's policy writes one: it becomes a word of a command of root's, so no blank and no dollar."""

SingleLine = Annotated[str, Field(pattern=r"^[^\r\n]*$")]
Sentence = Annotated[str, Field(pattern=r"^[^\r\n]+$")]
"""One line that is not empty."""


class Section(BaseModel):
    """One group of settings; `coerce_numbers_to_str` because `--data KEY=580` arrives as a number."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)
