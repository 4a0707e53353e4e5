"""The plan as a table, as a picture, and as a command."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from voicestack.gpu.cards import Measured, read
from voicestack.gpu.units import GIB
from voicestack.plan.__main__ import main
from voicestack.plan.picture import svg
from voicestack.plan.table import table
from voicestack.settings.load import parse, typed
from voicestack.settings.model import Settings

ROOT = Path(__file__).resolve().parents[2]
APRIL = (Measured(23_034, 22_451),)
SVG = "{http://www.w3.org/2000/svg}"


def test_the_picture_in_the_decision_is_that_of_the_defaults(settings: Settings) -> None:
    """If this fails, the command that draws it is in docs/decisions/gpu-memory.md."""
    drawn = svg(settings.plan, APRIL, "measured by its owner in April 2026 (0.68 / 0.1 / 0.25)")
    assert (ROOT / "docs" / "decisions" / "gpu-memory.svg").read_text() == drawn


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"agent_whisper_device": "cpu"},
        {"guard_placement": "http://10.0.0.7:8000"},
        {"gpu_card": "46068"},
    ],
)
def test_the_decisions_figures_are_the_plans(data: dict[str, Any], changes: dict[str, str]) -> None:
    made = parse({**data, **changes}).plan
    card = made.cards[0]
    row = f"| {card.peak / GIB:.2f} / {card.card.usable / GIB:.2f} | {made.callers} |"
    assert row in (ROOT / "docs" / "decisions" / "gpu-memory.md").read_text()


def test_a_plan_that_is_too_large_stays_inside_the_picture(data: dict[str, Any]) -> None:
    drawn = svg(typed({**data, "guard_sequences": 160})[0].plan, APRIL)
    rects = ET.fromstring(drawn).iter(f"{SVG}rect")  # noqa: S314 - our own
    assert max(float(rect.get("x", 0)) + float(rect.attrib["width"]) for rect in rects) <= 960
    assert "<title>free " not in drawn


def test_each_card_has_its_bar_and_its_measurement(data: dict[str, Any]) -> None:
    made = parse({**data, "guard_placement": "gpu1"}).plan
    text = table(made, (*APRIL, Measured(23_034, 4_300)))
    assert re.search(
        r"^GPU 0: L4.*^vllm-voxtral stage 0 .*  9\.95    0\.444$.*^GPU 1: L4.*^vllm-guard", text, re.M | re.S
    )
    assert "nvidia-smi shows 4,300 of 23,034 MiB: 1.9% below the plan" in text
    assert svg(made, APRIL).count("used 21.92 GiB</title>") == 1


def test_nvidia_smis_lines_are_read_and_others_refused() -> None:
    assert read("23034, 22451\n") == APRIL
    assert read("23034, 22451\n\n15360, 0\n") == (*APRIL, Measured(15_360, 0))
    for other in ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", "23034", "1, 2, 3"):
        with pytest.raises(ValueError, match="not the output of `nvidia-smi"):
            read(other)


def test_the_command_prints_and_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("23034, 22451\n"))
    file = tmp_path / "plan.svg"
    assert main(["--measured", "-", "--svg", str(file), "--when", "as <it> was"]) == 0
    printed = capsys.readouterr().out
    assert "nvidia-smi should show 18,920 MiB used while nobody speaks" in printed
    assert "nvidia-smi shows 22,451 of 23,034 MiB: 18.7% above the plan" in printed
    assert "Callers: the agent takes 4 at once; the memory would do for 6" in printed
    assert "GPU 0, as <it> was: 22,451 of 23,034 MiB" in [text.text for text in ET.parse(file).iter(f"{SVG}text")]  # noqa: S314 - our own


def test_the_command_says_by_its_status_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", "guard_sequences=160"]) == 1
    assert "NOT POSSIBLE: guard_sequences: card 0" in capsys.readouterr().out
    assert main(["--data", "guard_sequenzes=160"]) == 2
    assert "did you mean guard_sequences?" in capsys.readouterr().err
    assert main(["--data", "guard_eager"]) == 2
    assert "--data guard_eager: not KEY=VALUE" in capsys.readouterr().err
    assert main(["--measured", "/nowhere/at/all"]) == 2
    assert "/nowhere/at/all" in capsys.readouterr().err
