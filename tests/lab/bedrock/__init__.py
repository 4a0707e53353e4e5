"""Amazon Bedrock's Converse API for the lab: real framing, real signatures, fixed replies, faults on demand."""

from __future__ import annotations

from tests.lab import controlled
from tests.lab.bedrock.replies import QUESTIONS, REPLIES

__all__ = ["PORT", "QUESTIONS", "REPLIES", "ensure"]

PORT = 8094


def ensure(address: str) -> dict[str, object]:
    """Serve on `address`; returns the URL. The hosts' own role may call it (tests/lab/imds), and aws.USER."""
    return {"url": controlled.ensure("bedrock", address, PORT)}
