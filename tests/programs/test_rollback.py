"""Forward, back and tidy up: what the fact sees, the plan says and the fetcher does, run after run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from on_host.weights import fetch
from on_host.weights.origin import RefusedError
from tests.unit.weights import GUARD, NEWER, OLDER, fetcher, guard, model, observe, put, request, stats, tree, write
from voicestack.settings.catalog import KeepDays
from voicestack.weights.state import Plan, plan

KEPT = "guard-20261101T000000.000000Z"
CONTENT = {GUARD["revision"]: guard(), NEWER["revision"]: guard(seed=2)}


def run(directory: Path, entry: Mapping[str, Any], *, source: Path | None = None, keep: KeepDays = "forever") -> Plan:
    """One run for a catalog with `entry` as "guard"; without a source nothing can be fetched."""
    todo = plan({"guard": model(entry)}, observe(directory, "guard"), keep)
    changes = {
        "source": str(source or "/nowhere"),
        "models": {name: entry for name, _ in todo.fetch},
        "restore": dict(todo.restore),
        "aside": list(todo.aside),
        "expired": list(todo.expired),
    }
    if not todo.nothing:
        fetch.converge(directory, request(directory, **changes))
    return todo


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Weights that were updated: GUARD is in .replaced, NEWER in place."""
    directory = tmp_path / "models"
    put(directory / ".replaced" / KEPT, GUARD, CONTENT[GUARD["revision"]])
    put(directory / "guard", NEWER, CONTENT[NEWER["revision"]])
    return directory


def replaced(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / ".replaced").iterdir())


def test_an_update_keeps_what_it_replaces_until_the_next_run(tmp_path: Path) -> None:
    directory = tmp_path / "models"
    put(directory / "guard", GUARD, CONTENT[GUARD["revision"]])
    put(tmp_path / "source" / "guard", NEWER, CONTENT[NEWER["revision"]])
    todo = run(directory, NEWER, source=tmp_path / "source", keep=0)
    assert [name for name, _ in todo.fetch] == ["guard"]
    assert tree(directory / "guard") == CONTENT[NEWER["revision"]]
    (kept,) = replaced(directory)
    assert tree(directory / ".replaced" / kept) == CONTENT[GUARD["revision"]]
    assert run(directory, NEWER, keep=0) == Plan(expired=(kept,))
    assert replaced(directory) == []


def test_the_way_back_and_forth_needs_no_source_and_is_said(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for entry in (GUARD, NEWER, GUARD):
        capsys.readouterr()
        (kept,) = replaced(directory)
        todo = run(directory, entry)
        assert (todo.fetch, list(todo.restore)) == ((), ["guard"])
        assert tree(directory / "guard") == CONTENT[entry["revision"]]
        assert run(directory, entry).nothing
        said = capsys.readouterr().out.splitlines()
        assert f"guard: back in place from {directory}/.replaced/{kept}, nothing was fetched." in said
        assert any(line.startswith("guard: what was there before is kept in ") and " kB (" in line for line in said)
        assert len(replaced(directory)) == 1


def test_a_kept_model_that_was_damaged_is_not_gone_back_to(directory: Path) -> None:
    (directory / ".replaced" / KEPT / "config.json").unlink()
    before = stats(directory)
    with pytest.raises(RefusedError, match="/nowhere does not exist"):
        run(directory, GUARD)
    assert stats(directory) == before


def test_what_was_replaced_is_deleted_when_its_time_is_over(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(directory, NEWER, keep="forever").nothing
    assert run(directory, NEWER, keep=10**6).nothing
    assert run(directory, NEWER, keep=1) == Plan(expired=(KEPT,))
    assert re.search(f"{KEPT}: deleted, its time was over .* kB are free again", capsys.readouterr().out)
    assert replaced(directory) == []
    assert run(directory, NEWER, keep=0).nothing
    assert tree(directory / "guard") == CONTENT[NEWER["revision"]]


def test_nothing_is_deleted_or_moved_by_a_run_that_is_refused(directory: Path) -> None:
    write(directory, {"stranger/x": b"1"})
    before = stats(directory)
    with pytest.raises(RefusedError):
        run(directory, OLDER, keep=0)
    assert stats(directory) == before


def test_strangers_go_aside_whole_whatever_their_names(directory: Path) -> None:
    strangers = {"old thing/sub/x": b"1", "notes.txt": b"2", "$(id)/y": b"3", " a/z": b"4", "b /z": b"5"}
    write(directory, strangers)
    (directory / "link").symlink_to("guard")
    todo = run(directory, NEWER)
    assert sorted(todo.aside) == sorted({*(path.split("/")[0] for path in strangers), "link"})
    assert run(directory, NEWER).nothing
    kept = {
        path.relative_to(directory / ".replaced").as_posix(): path.read_bytes()
        for path in (directory / ".replaced").rglob("*")
        if path.is_file() and "guard-" not in str(path)
    }
    for path, data in strangers.items():
        top, slash, rest = path.partition("/")
        assert [kept[each] for each in kept if each.startswith(f"{top}-") and each.endswith(slash + rest)] == [data]
    assert tree(directory / "guard") == CONTENT[NEWER["revision"]]


@pytest.mark.parametrize("kind", ["file", "dangling link", "link to another disk"])
def test_whatever_has_the_models_name_is_replaced(directory: Path, tmp_path: Path, kind: str) -> None:
    target = directory / "guard"
    target.rename(tmp_path / "elsewhere")
    if kind == "file":
        target.write_bytes(b"x")
    else:
        target.symlink_to(tmp_path / "elsewhere" if kind.startswith("link") else "nowhere")
    assert run(directory, GUARD).restore == {"guard": KEPT}
    assert not target.is_symlink()
    assert tree(target) == CONTENT[GUARD["revision"]]
    assert run(directory, GUARD).nothing
    assert tree(tmp_path / "elsewhere") == CONTENT[NEWER["revision"]]


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "utf-8"}, {"LC_ALL": "C"}])
def test_a_name_that_is_not_text_is_said_as_text(directory: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    """pyinfra reads the fetcher's words as UTF-8 and loses all that follows what is not."""
    write(directory, {"\udcff/x": b"1", "two\nlines": b"2"})
    todo = plan({"guard": model(NEWER)}, observe(directory, "guard"), "forever")
    done = fetcher(tmp_path / "home", request(directory, aside=list(todo.aside)), **environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "\\udcff is not in the catalog." in done.stdout.decode("utf-8")
    assert run(directory, NEWER).nothing
