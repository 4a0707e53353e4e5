"""livekit.yaml, read by the real livekit-server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.render import matrix
from tests.render.readers import livekit

CASES = matrix.distinct("livekit/")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_names_the_ports_of_the_settings(case: matrix.Case, tmp_path: Path) -> None:
    livekit.check_ports(case, tmp_path)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.usefixtures("network")
def test_it_starts_and_listens_where_it_should_and_only_there(case: matrix.Case, tmp_path: Path) -> None:
    livekit.check_running(case, tmp_path)


@pytest.mark.parametrize("level", ["debug", "info", "warn", "error"])
@pytest.mark.usefixtures("network")
def test_it_knows_every_log_level(level: str, tmp_path: Path) -> None:
    livekit.check_running(matrix.case(livekit_log_level=level), tmp_path)
