"""The models that the stand-in serves in its region, and how they may be named.

The ids are AWS's. Which of them AWS serves in eu-central-1, and to whom, is not known here and changes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.lab import aws
from tests.lab.bedrock.errors import invalid


@dataclass(frozen=True)
class Model:
    """A foundation model; some can only be reached through an inference profile, some take no system prompt."""

    profile_only: bool = False
    takes_system: bool = True


_FOUNDATION = {
    "mistral.pixtral-large-2502-v1:0": Model(profile_only=True),
    "mistral.mistral-large-3-675b-instruct": Model(),
    "mistral.ministral-3-8b-instruct": Model(),
    "mistral.mistral-large-2402-v1:0": Model(),
    "mistral.mistral-7b-instruct-v0:2": Model(takes_system=False),
}
_PROFILES = {"eu.mistral.pixtral-large-2502-v1:0": "mistral.pixtral-large-2502-v1:0"}
_ARN = re.compile(rf"arn:aws:bedrock:{aws.REGION}:(?P<account>\d*):(?P<kind>foundation-model|inference-profile)/(.+)")


def find(name: str) -> Model:
    """The model of an id or ARN.

    Raises:
        Refused: there is none, or it cannot be called by this name.
    """
    arn = _ARN.fullmatch(name)
    plain = arn[3] if arn else name
    kind = arn["kind"] if arn else None
    if plain in _PROFILES and kind != "foundation-model":
        return _FOUNDATION[_PROFILES[plain]]
    if plain not in _FOUNDATION or kind == "inference-profile":
        raise invalid("The provided model identifier is invalid.")
    if _FOUNDATION[plain].profile_only:
        raise invalid(
            f"Invocation of model ID {name} with on-demand throughput isn’t supported. Retry your request with the ID "
            "or ARN of an inference profile that contains this model."
        )
    return _FOUNDATION[plain]
