"""A weights' directory that somebody else fills: nothing of it is touched unless it is known to be the stack's."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from on_host.weights.store import PROVENANCE
from tests.documented import documented_command
from tests.programs.workplace import furnish
from tests.programs.workplace import run as run_there
from tests.unit.test_preflight import GOOD
from tests.unit.weights import GUARD, guard, put, stats, write
from voicestack.host.preflight import findings
from voicestack.host.report import HostReport, Preflight, parse_report
from voicestack.settings.model import Settings

DEPLOY = """
import os
from pyinfra.context import host
from voicestack.weights import operations as models
from voicestack.settings.load import load

settings = load(host)
models.HOME = os.environ["HOME_OF_THE_FETCHER"]
place = {"directory": os.environ["PLACE"], "source": "/nowhere", "keep_replaced_days": "forever"}
models.weights(name="Weights", settings=settings.weights.model_copy(update=place), models={}, index_url="http://x/")
"""
"""Without a model in use: all there is to do is to move strangers aside."""

HOME = {"ubuntu/.ssh/authorized_keys": b"ssh-ed25519 A", "notes.txt": b"1", ".lock": b"somebody's"}
"""As /home was in fault H4."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "place"
    write(place, HOME)
    return place


def run(tmp_path: Path, place: Path) -> subprocess.CompletedProcess[str]:
    workplace = tmp_path / "workplace"
    shutil.rmtree(workplace, ignore_errors=True)
    workplace.mkdir()
    furnish(workplace, DEPLOY)
    environment = {"PLACE": str(place), "HOME_OF_THE_FETCHER": str(tmp_path / "fetcher")}
    return run_there(workplace, environment=environment)


def looked_at(place: Path, *names: str) -> list[str]:
    """What the real preflight script says of it, as lines."""
    command = Preflight().command({"models": str(place), "catalog": " ".join(names)})
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if line.split("\t")[0] in ("stranger", "models_are_ours")]


def test_fault_h4_a_full_directory_of_somebody_elses_is_refused_with_the_list_and_stays_as_it_is(
    tmp_path: Path, place: Path
) -> None:
    before = stats(place)
    done = run(tmp_path, place)
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert f"weights_directory: {place} holds what is not in weights_catalog (notes.txt, ubuntu)" in said
    assert f"mkdir {place}/.replaced" in said
    assert stats(place) == before
    assert not (tmp_path / "fetcher").exists()


@pytest.mark.parametrize("ours", ["told", "a model of ours"])
def test_in_a_directory_that_is_known_to_be_ours_strangers_are_moved_aside(
    tmp_path: Path, place: Path, ours: str
) -> None:
    if ours == "told":
        told = documented_command("mkdir /models/.replaced", {"/models": str(place)})
        subprocess.run(told.split(), check=True)
    else:
        put(place / "llama-guard-3-1b", GUARD, guard())
    done = run(tmp_path, place)
    assert done.returncode == 0, done.stdout + done.stderr
    names = sorted(path.name.partition("-2")[0] for path in (place / ".replaced").iterdir())
    assert names == ["notes.txt", "ubuntu"]
    assert not (place / "ubuntu").exists()
    assert (place / ".lock").read_bytes() == b"somebody's"


def test_preflight_finds_it_before_anything_is_changed(place: Path, settings: Settings) -> None:
    before = stats(place)
    lines = looked_at(place, "guard")
    assert lines == ["stranger\tnotes.txt", "stranger\tubuntu"]
    assert stats(place) == before
    (finding,) = findings(_report(lines), settings, has_token=True)
    assert finding.startswith(
        "weights_directory: /models holds what is not in weights_catalog (notes.txt, ubuntu), and"
    )


def test_preflight_finds_nothing_in_an_empty_an_own_and_a_hand_made_directory(
    tmp_path: Path, settings: Settings
) -> None:
    """Finding 1: in a hand-made /models the right name held the wrong model; that one is replaced."""
    write(tmp_path / "models", {"guard/model.safetensors": b"wrong", "lost+found/x": b"", ".hidden": b""})
    assert looked_at(tmp_path / "models", "guard", "voxtral") == []
    assert looked_at(tmp_path / "absent", "guard") == []
    write(tmp_path / "models", {"other/x": b"1", f"guard/{PROVENANCE}": b"torn"})
    lines = looked_at(tmp_path / "models", "guard")
    assert lines == ["models_are_ours\tyes", "stranger\tother"]
    assert findings(_report(lines), settings, has_token=True) == []


def test_many_strangers_are_counted(settings: Settings) -> None:
    (finding,) = findings(_report([f"stranger\tf{number:02}" for number in range(30)]), settings, has_token=True)
    assert "(f00, f01, f02, f03, f04, f05, f06, f07, f08, f09 and 20 more)" in finding


def _report(lines: list[str]) -> HostReport:
    """A host that can take the stack, but for what these lines say."""
    told = parse_report(lines)
    return replace(GOOD, strangers=told.strangers, models_are_ours=told.models_are_ours)
