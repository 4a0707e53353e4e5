"""Where the lab's own servers listen."""

from __future__ import annotations

from tests.lab.places import BRIDGE_ADDRESS

APT_PORT = 8090
APT_URL = f"http://{BRIDGE_ADDRESS}:{APT_PORT}"
