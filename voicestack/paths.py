"""Where things lie: in this clone, and on a host."""

from __future__ import annotations

from pathlib import Path

from on_host import paths

ROOT = Path(__file__).resolve().parents[1]
"""This clone."""

TOOLS = ROOT / "voicestack" / "tools.sh"
"""Handed to scripts that have this clone's own agent do something on a host."""

HOME = str(paths.HOME)
"""Where the stack's files lie on a host."""

STATE = str(paths.STATE)
"""Where what the services write lies on a host: certificates."""
