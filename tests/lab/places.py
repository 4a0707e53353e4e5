"""Where the lab lives: one cache by content, one state directory, one bridge."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]

CACHE = Path(os.environ.get("VOICE_LAB_CACHE", "/var/cache/voice-lab"))
"""What is expensive and the same every time: root filesystems, binaries, images, wheels. Safe to delete."""

STATE = Path(os.environ.get("VOICE_LAB_STATE", "/var/lib/voice-lab"))
"""What belongs to the lab that is up: hosts, keys, pid files, logs. `down` removes it."""

DESCRIPTION = STATE / "lab.json"
"""What the lab's inventory and its group_data read: addresses, keys, fingerprints of the lab that is up."""

INVENTORY = "tests/lab/inventory/lab.py"
"""The hosts that are up, for pyinfra; relative to the repository's root, where it is run."""

BRIDGE = "vlab0"
BRIDGE_ADDRESS = "10.93.77.1"
NETWORK = "10.93.77.0/24"
HOST_ADDRESSES = {"debian": "10.93.77.10", "ubuntu": "10.93.77.11", "spare": "10.93.77.12", "bookworm": "10.93.77.13"}
"""`spare` is a second Debian 13, for tests that destroy a host while others use theirs; `bookworm` is Debian 12."""
