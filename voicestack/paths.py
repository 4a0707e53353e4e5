"""Where things lie: in this clone, and on a host."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""This clone."""

HOME = "/opt/voice"
"""Where the stack's files lie on a host."""

STATE = "/var/lib/voice"
"""Where what the services write lies on a host: certificates."""
