"""What one turn of a conversation took and how it ended: times, verdicts, the leg that failed. Never its words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# In the order they happen; README.md says from where to where each goes.
LEGS = ("transcript", "turn", "first_token", "guard", "first_audio", "reply")


@dataclass
class Reply:
    """One reply as it is made; every time is seconds since the epoch, None until it happens."""

    first_token_at: float | None = None
    sentence_at: float | None = None  # the first sentence was complete
    judged_at: float | None = None  # and had its verdict
    audio_at: float | None = None  # the first audio of it came from the engine
    speaking_at: float | None = None  # and went out to the caller
    verdicts: list[str] = field(default_factory=list)
    refused: bool = False
    error: str | None = None


@dataclass
class Turn:
    """What the caller said, as far as times go, and the reply to it."""

    number: int
    ended_at: float | None = None  # the caller stopped speaking
    transcript_at: float | None = None
    committed_at: float | None = None  # and was taken to be done
    verdict: str | None = None  # on what the caller said; None when it is not judged
    reply: Reply = field(default_factory=Reply)

    def legs_ms(self) -> dict[str, int]:
        """The legs that happened, in milliseconds; they overlap where work is done ahead of time."""
        reply = self.reply
        judged = max((at for at in (reply.judged_at, self.committed_at) if at is not None), default=None)
        spans = {
            "transcript": (self.ended_at, self.transcript_at),
            "turn": (self.ended_at, self.committed_at),
            "first_token": (self.transcript_at, reply.first_token_at),
            "guard": (reply.sentence_at, reply.judged_at),
            "first_audio": (judged, reply.audio_at),
            "reply": (self.ended_at, reply.speaking_at),
        }
        return {
            name: max(0, round((end - start) * 1000))
            for name, (start, end) in spans.items()
            if start is not None and end is not None
        }

    def message(self) -> dict[str, Any]:
        """The `voice.turn` message for the room."""
        return {
            "turn": self.number,
            "legs_ms": self.legs_ms(),
            "guard": {"input": self.verdict, "output": self.reply.verdicts},
            "refused": self.reply.refused,
            "error": self.reply.error,
        }
