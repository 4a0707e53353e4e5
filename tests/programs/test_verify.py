"""Every byte read again: what is damaged is named and fetched, what is right is kept."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from on_host.weights import digest, fetch, store, verify
from on_host.weights.digest import Digest
from on_host.weights.origin import RefusedError
from tests.lab.hub import GRANTED, models
from tests.lab.hub.server import LabServer, serving
from tests.programs.test_fetch import Lab
from tests.unit.weights import GUARD, WEIGHTS, flip, guard, model, observe, put, request, sha256, stats, tree
from voicestack.weights.state import plan

FILES = guard()
DIGESTS = {path: sha256(data) for path, data in FILES.items()}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    root = tmp_path_factory.mktemp("hub")
    models.write(root, {GUARD["repo"]: FILES})
    with serving(models.load(root)) as hub:
        yield hub


@pytest.fixture
def lab(hub: LabServer, tmp_path: Path) -> Lab:
    """With a model in place, as an earlier run left it."""
    hub.shared.control("reset", {})
    directory = tmp_path / "models"
    put(directory / "guard", GUARD, FILES)
    return Lab(hub.shared, f"http://127.0.0.1:{hub.server_port}", directory)


def deep(lab: Lab) -> None:
    """What a run with weights_verify = "deep" does."""
    fetch.converge(lab.directory, request(lab.directory, endpoint=lab.url, token=GRANTED, verify={"guard": GUARD}))


def test_what_is_right_is_told_with_its_digest(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    found = verify.deep(lab.directory, ["guard"])
    assert found == {"guard": verify.Verified(DIGESTS, {})}
    assert "verify: 5 files read, " in capsys.readouterr().out


def test_each_damaged_file_is_named_and_the_others_are_right(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    place = lab.directory / "guard"
    flip(place / WEIGHTS, -1)
    (place / "tokenizer.json").write_bytes(FILES["tokenizer.json"][:-1])
    (place / "config.json").unlink()
    (place / "sub" / "LICENSE.txt").unlink()
    (place / "sub" / "LICENSE.txt").mkdir()
    found = verify.deep(lab.directory, ["guard"])["guard"]
    assert found.right == {"tokenizer_config.json": DIGESTS["tokenizer_config.json"]}
    assert found.wrong == {
        WEIGHTS: f"sha256 {sha256((place / WEIGHTS).read_bytes())} instead of {DIGESTS[WEIGHTS]}",
        "tokenizer.json": f"{len(FILES['tokenizer.json']) - 1} bytes instead of {len(FILES['tokenizer.json'])}",
        "config.json": "it cannot be read (No such file or directory)",
        "sub/LICENSE.txt": "it cannot be read (Is a directory)",
    }
    said = capsys.readouterr().out
    for path, problem in found.wrong.items():
        assert f"guard: {path} is damaged: {problem}\n" in said


def test_models_are_told_apart(lab: Lab) -> None:
    put(lab.directory / "other", GUARD, guard(seed=2))
    flip(lab.directory / "other" / WEIGHTS, 1000)
    found = verify.deep(lab.directory, ["guard", "other"])
    assert (found["guard"].right, found["guard"].wrong) == (DIGESTS, {})
    assert list(found["other"].wrong) == [WEIGHTS]
    assert len(found["other"].right) == 4


def test_without_damage_nothing_is_written_and_nobody_asked(lab: Lab) -> None:
    before = stats(lab.directory)
    deep(lab)
    assert stats(lab.directory) == before
    assert not lab.shared.log


@pytest.mark.parametrize("path", [WEIGHTS, "tokenizer.json"])
def test_a_damaged_file_alone_is_fetched_and_kept_aside(lab: Lab, path: str) -> None:
    place = lab.directory / "guard"
    inodes = {name: (place / name).stat().st_ino for name in FILES}
    flip(place / path, -1)
    damaged = (place / path).read_bytes()
    deep(lab)
    (aside,) = (lab.directory / ".replaced").iterdir()
    assert tree(place) == FILES
    assert (aside / path).read_bytes() == damaged
    kept = {name for name in FILES if (place / name).stat().st_ino == inodes[name]}
    assert kept == FILES.keys() - {path}
    assert plan({"guard": model(GUARD)}, observe(lab.directory, "guard"), "forever").nothing
    assert lab.sent("cdn") < (2 if path == WEIGHTS else 0) * len(FILES[WEIGHTS]) + 1000
    assert lab.sent("cdn") >= (len(FILES[WEIGHTS]) if path == WEIGHTS else 0)
    before = stats(lab.directory)
    deep(lab)
    assert stats(lab.directory) == before


def test_a_damaged_model_stays_in_place_while_the_hub_cannot_help(lab: Lab) -> None:
    lab.shared.control("corrupt", {"path": "tokenizer.json", "times": "9"})
    flip(lab.directory / "guard" / "tokenizer.json", -1)
    before = tree(lab.directory / "guard")
    with pytest.raises(RefusedError, match=r"tokenizer\.json arrived damaged twice"):
        deep(lab)
    assert tree(lab.directory / "guard") == before
    assert not (lab.directory / ".replaced").exists()


def test_a_file_that_the_disk_cannot_read_any_more_is_fetched(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = lab.directory / "guard" / WEIGHTS

    def read(file: Path, *arguments: Any) -> Digest:
        if file == bad:
            raise OSError(errno.EIO, "Input/output error")
        return digest.digest_of(file, *arguments)

    for module in (verify, store):
        monkeypatch.setattr(module, "digest_of", read)
    inode = bad.stat().st_ino
    deep(lab)
    assert bad.stat().st_ino != inode
    assert tree(lab.directory / "guard") == FILES


@pytest.mark.parametrize("damaged", ["tokenizer.json", WEIGHTS])
def test_large_files_are_read_once(lab: Lab, monkeypatch: pytest.MonkeyPatch, damaged: str) -> None:
    reads: list[str] = []

    def read(file: Path, *arguments: Any) -> Digest:
        reads.append(file.name)
        return digest.digest_of(file, *arguments)

    for module in (verify, store):
        monkeypatch.setattr(module, "digest_of", read)
    flip(lab.directory / "guard" / damaged, -1)
    deep(lab)
    assert reads.count(WEIGHTS) == 1
