"""Amazon Bedrock's Converse API for the lab: real framing, real signatures, fixed replies, faults on demand."""

from __future__ import annotations

from tests.lab import aws, controlled
from tests.lab.bedrock.models import IDS
from tests.lab.bedrock.replies import QUESTIONS, REPLIES

__all__ = ["PORT", "QUESTIONS", "REPLIES", "ensure"]

PORT = 8094


def ensure(address: str) -> dict[str, object]:
    """Serve on `address`, and say how to call it.

    Returns:
        `url`, `region`, the `models` it answers for, and the key of a user: `access_key_id` and `secret_access_key`.
        The hosts' own role (tests/lab/imds) may call it too.
    """
    return {
        "url": controlled.ensure("bedrock", address, PORT),
        "region": aws.REGION,
        "models": IDS,
        "access_key_id": aws.USER.access_key_id,
        "secret_access_key": aws.USER.secret_access_key,
    }
