"""The suite itself: what `make e2e` and `make nightly` run."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_end_to_end_module_is_in_one_lane_or_nightly() -> None:
    makefile = (ROOT / "Makefile").read_text()
    lanes = " ".join(re.findall(r"^e2e-\w+: LANE := (.*)", makefile, re.MULTILINE)).split()
    named = re.findall(r"tests/e2e/test_(\w+)\.py", makefile)
    modules = sorted(path.stem.removeprefix("test_") for path in (ROOT / "tests" / "e2e").glob("test_*.py"))
    assert sorted([*lanes, *set(named)]) == modules
