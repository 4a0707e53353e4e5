"""The stage file, read as each release of vllm-omni reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import readers
from tests.render import matrix
from tests.render.readers import stage
from voicestack.settings import omni

TUNED = {
    "gpu_card": "81559",
    "voxtral_stage0_sequences": 8,
    "voxtral_stage0_context": 16384,
    "voxtral_stage0_eager": True,
}
CASES = [
    matrix.case(f"{number}-{name}", image_vllm_voxtral=f"vllm/vllm-omni:v{number}", **changes)
    for number in omni.RELEASES
    for name, changes in (("defaults", {}), ("tuned", TUNED))
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_the_releases_own_file_with_the_intended_values(case: matrix.Case) -> None:
    stage.check_file(case)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_releases_own_loader_understands_it(case: matrix.Case, tmp_path: Path) -> None:
    stage.check_loaded(case, tmp_path)


def test_every_release_that_is_accepted_is_compared() -> None:
    assert set(readers.VLLM_OMNI) == set(omni.RELEASES)


def test_the_old_flag_is_gone_when_the_new_one_is_used() -> None:
    """0.20 to 0.26 still take the old flag, with a warning; the new one is right for all of them."""
    for number, release in omni.RELEASES.items():
        serve = (readers.vllm_omni(number) / "vllm_omni/entrypoints/cli/serve.py").read_text()
        assert f'"{release.flag}"' in serve
        old_flag_known = '"--stage-configs-path"' in serve
        assert old_flag_known is (tuple(map(int, number.split("."))) < (0, 28, 0))
