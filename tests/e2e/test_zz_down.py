"""Last of all: `down` removes every trace of the lab but its cache."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.e2e.conftest import lab
from tests.lab.places import BRIDGE, CACHE, NETWORK, STATE


def output(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def test_down_leaves_no_trace_but_the_cache() -> None:
    lab("down")
    assert not STATE.exists()
    assert str(STATE) not in Path("/proc/self/mountinfo").read_text()
    assert BRIDGE not in output("ip", "-o", "link")
    assert NETWORK not in output("iptables-save")
    assert str(STATE) not in output("ps", "-eo", "args")
    assert any(CACHE.iterdir())
