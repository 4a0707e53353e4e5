"""Who may call AWS in the lab: one user with a key, and the role that the hosts' metadata service hands out.

Nothing is stored: a role's credentials follow from the hour in which they were issued, so that the metadata service
that issues them and the service that checks them need not talk to each other.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from dataclasses import dataclass

REGION = "eu-central-1"
ROLE = "voice-host"
_HOUR = 3600
LIFETIME = 6 * _HOUR
"""As on EC2; and as there, the metadata service hands out new ones long before the old ones expire."""


@dataclass(frozen=True)
class Credentials:
    """An access key; a role's has a session token and ends at `expires` (seconds since 1970)."""

    access_key_id: str
    secret_access_key: str
    token: str | None = None
    expires: float | None = None


USER = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
"""The key that AWS's own documentation uses as its example: nobody can take it for one that leaked."""


def role(now: float | None = None) -> Credentials:
    """What the metadata service hands out at this time: issued at the last full hour."""
    return _issued(int((time.time() if now is None else now) // _HOUR))


def find(access_key_id: str, now: float) -> Credentials | None:
    """The credentials of this key id, if it was issued within the last day; they may have expired meanwhile."""
    hour = int(now // _HOUR)
    candidates = [USER, *(_issued(hour - ago) for ago in range(24))]
    return next((known for known in candidates if known.access_key_id == access_key_id), None)


def _issued(hour: int) -> Credentials:
    """The role's credentials of one hour, recognisable as examples."""

    def secret(what: str) -> bytes:
        return hmac.new(b"the lab's own", f"{what} {hour}".encode(), hashlib.sha512).digest()

    name = base64.b32encode(secret("id"))[:9].decode()
    return Credentials(
        f"ASIA{name}EXAMPLE",
        base64.b64encode(secret("secret"))[:33].decode() + "EXAMPLE",
        base64.b64encode(b"EXAMPLE" + secret("token")).decode(),
        float(hour * _HOUR + LIFETIME),
    )
