"""Where a run's secrets come from. They are never data, arguments of operations or facts, or part of a log line."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from pydantic import SecretStr
from pyinfra.api.exceptions import PyinfraError

SHORTEST_LIVEKIT_SECRET = 32
"""Characters; LiveKit only logs an error about shorter ones (facts: livekit-caddy-aws-nvidia.md, 1.1)."""


class SecretsError(PyinfraError):
    """A secret is unusable; the message names the variable, never the value."""


@dataclass(frozen=True)
class LivekitKeys:
    """The pair that signs callers' tokens; the web backend that mints them has the same."""

    key: str
    secret: SecretStr


def hub_token() -> str | None:
    """The Hugging Face token of this run, from HF_TOKEN; None when there is none."""
    return os.environ.get("HF_TOKEN") or None


def livekit_keys() -> LivekitKeys | None:
    """The LiveKit key pair to import, from LIVEKIT_API_KEY and LIVEKIT_API_SECRET; None: the host's own is kept.

    Raises:
        SecretsError: if only one of the two is set, or one cannot be used.
    """
    key, secret = os.environ.get("LIVEKIT_API_KEY", ""), os.environ.get("LIVEKIT_API_SECRET", "")
    if not key and not secret:
        return None
    problems = []
    if not re.fullmatch(r"[A-Za-z0-9_-]+", key):
        problems.append("LIVEKIT_API_KEY: must be letters, digits, - and _ (and set together with the secret)")
    if not re.fullmatch(rf"[A-Za-z0-9+/=_-]{{{SHORTEST_LIVEKIT_SECRET},}}", secret):
        problems.append(f"LIVEKIT_API_SECRET: must be at least {SHORTEST_LIVEKIT_SECRET} letters, digits, + / = - or _")
    if problems:
        raise SecretsError("; ".join(problems))
    return LivekitKeys(key, SecretStr(secret))
