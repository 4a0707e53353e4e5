"""compose.yml, read by the oldest and the newest Compose that a host may have."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import readers
from tests.render import matrix
from tests.render.readers import compose


@pytest.mark.parametrize("version", ["2.26", readers.COMPOSE_VERSION])
@pytest.mark.parametrize("case", matrix.distinct("compose.yml", "env/"), ids=lambda case: case.name)
def test_compose_reads_what_is_meant(case: matrix.Case, version: str, tmp_path: Path) -> None:
    compose.check(case, tmp_path, readers.compose_versions()[version])


def test_both_versions_understand_the_same(tmp_path: Path) -> None:
    case = matrix.case()
    compose.write(case, tmp_path)
    old, new = (compose.normalised(tmp_path, program) for program in readers.compose_versions().values())
    for model in (old, new):
        for service in model["services"].values():
            for mount in service["volumes"]:
                # 2.26 writes the default out (create_host_path), 5 does not.
                mount.pop("bind", None)
    assert old["services"] == new["services"]
