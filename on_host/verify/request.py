"""What a verification asks for: made from settings on the controller, read on the host and in the container."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class KeyPair:
    """A LiveKit key pair. It travels on stdin only."""

    key: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Request:
    """Everything the probes need to know. No secrets but `revoked`, which only the host adds, on stdin."""

    domain: str
    own_authority: bool
    livekit_url: str
    health_url: str
    agent_name: str
    tts: dict[str, str]
    whisper: str
    language: str
    transcripts: bool
    refusal: str
    question: str
    unsafe_question: str
    patience_s: int
    least_overlap: float
    keep_recordings: bool
    rotation: bool
    elsewhere: dict[str, str] = field(default_factory=dict)
    question_wav: str = ""
    address: str = ""
    probes: tuple[str, ...] = ("reachable", "conversation")
    revoked: tuple[KeyPair, ...] = ()

    def only(self, *probes: str, revoked: tuple[KeyPair, ...] = ()) -> Request:
        """The same for fewer probes, with pairs that LiveKit must refuse."""
        return replace(self, probes=probes, revoked=revoked)

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Request:
        """What to_json made."""
        values: dict[str, Any] = json.loads(text)
        pairs = tuple(KeyPair(**pair) for pair in values.pop("revoked"))
        return Request(**{**values, "probes": tuple(values["probes"])}, revoked=pairs)
