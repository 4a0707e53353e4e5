"""What a backup holds, by name: the key pairs, and of Caddy's data what took others to make. Pure.

An allow-list, on both ways: what Caddy makes by itself (locks, challenges, OCSP answers) is not saved, and a name that
is not here is not restored. Paths are relative to the host's root, as tar keeps them.
"""

from __future__ import annotations

import re

from voicestack.paths import HOME, STATE

ROOT = "/"
"""What the paths are relative to on a host."""

CADDY = f"{STATE}/caddy"
"""What the Caddy container mounts below; /data in it is CADDY/data here."""

LIVEKIT_ENV = f"{HOME}/secrets/livekit.env".lstrip("/")
"""LiveKit's key pair. keys.sh makes livekit/keys.yaml and the digest from it: they are not saved beside it."""

AGENT_ENV = f"{HOME}/secrets/bedrock.env".lstrip("/")
"""The agent's key pair for AWS, if it has one."""

CADDYS_DATA = f"{CADDY}/data/caddy".lstrip("/")

_NAME = r"[A-Za-z0-9_@-][A-Za-z0-9_@.-]*"  # what CertMagic leaves of a name, which is never "." or ".."
_CADDYS = re.compile(
    rf"{re.escape(CADDYS_DATA)}/(?:"
    rf"certificates/{_NAME}/{_NAME}/{_NAME}\.(?:crt|key|json)"
    rf"|acme/{_NAME}/users/{_NAME}/{_NAME}\.(?:key|json)"
    rf"|pki/authorities/{_NAME}/{_NAME}\.(?:crt|key))"
)


def is_caddys(path: str) -> bool:
    """Whether it is a certificate, an ACME account or a certificate authority of Caddy's, or the key of one."""
    return _CADDYS.fullmatch(path) is not None


def belongs(path: str) -> bool:
    """Whether a backup may hold it."""
    return path in (LIVEKIT_ENV, AGENT_ENV) or is_caddys(path)
