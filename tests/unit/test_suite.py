"""The suite itself: what `make e2e` runs."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_end_to_end_module_is_in_one_lane() -> None:
    lanes = re.findall(r"^e2e-\w+: LANE := (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    listed = sorted(name for lane in lanes for name in lane.split())
    modules = sorted(path.stem.removeprefix("test_") for path in (ROOT / "tests" / "e2e").glob("test_*.py"))
    assert [*listed, "zz_down"] == modules
