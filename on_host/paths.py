"""Where the stack's things lie on a host."""

from __future__ import annotations

from pathlib import Path

HOME = Path("/opt/voice")
"""The stack's files."""

STATE = Path("/var/lib/voice")
"""What the services write: certificates."""

LIVEKIT_ENV = "secrets/livekit.env"
DIGEST_ENV = "secrets/livekit-digest.env"
AGENT_ENV = "secrets/bedrock.env"
KEYS_YAML = "livekit/keys.yaml"
"""The files of the key pairs, below HOME; keys.sh writes them."""
