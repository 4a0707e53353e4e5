"""A Hugging Face Hub for the lab: the real API and the real client, small weights, faults on demand.

Two servers on one address, because the real Hub redirects large files to another host: the Hub itself (PORT) and
the "CDN" (CDN_PORT), which must never see a token.
"""

from __future__ import annotations

from tests.lab import controlled
from tests.lab.hub.hub import GRANTED, NO_SCOPE, UNGRANTED
from tests.lab.hub.models import build
from tests.lab.hub.server import CDN_PORT, PORT

__all__ = ["CDN_PORT", "GRANTED", "NO_SCOPE", "PORT", "UNGRANTED", "ensure"]


def ensure(address: str) -> dict[str, object]:
    """Serve on `address`; returns the URL, and the token of an account that may read the gated model."""
    return {"url": controlled.ensure("hub", address, PORT, build()), "token": GRANTED}
