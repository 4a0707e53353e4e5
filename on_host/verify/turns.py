"""What the agent says about a turn, on the topic voice.turn. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Turn:
    """One reply: how long each leg took, what the guard said, which leg failed."""

    legs_ms: dict[str, int]
    guard: str
    refused: bool
    error: str

    @staticmethod
    def parse(text: str) -> Turn:
        """From the agent's JSON; legs that a turn did not reach are left out."""
        said = json.loads(text)
        legs = said.get("legs_ms") or {}
        verdicts = said.get("guard") or {}
        return Turn(
            legs_ms={leg: round(took) for leg, took in legs.items() if took is not None},
            guard=f"input {verdicts.get('input')}, output {', '.join(verdicts.get('output') or []) or 'none'}",
            refused=bool(said.get("refused")),
            error=said.get("error") or "",
        )
