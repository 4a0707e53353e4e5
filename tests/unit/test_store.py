"""The disk's side: whoever looks sees a whole model at any time, a kill loses none, and what is right is kept."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from on_host.weights import fetch, store
from on_host.weights.progress import size
from on_host.weights.store import HEADROOM, PROVENANCE, REPLACED, VERIFIED, DiskError
from tests.unit.weights import (
    GUARD,
    OLDER,
    WEIGHTS,
    converge,
    failing,
    flip,
    guard,
    model,
    observe,
    put,
    request,
    sha256,
    tree,
    with_metadata,
    write,
)
from voicestack.weights.state import Plan, plan

FILES = guard()
OLD_FILES = guard(seed=2)
STAGED = f".staging/guard-{GUARD['revision'][:12]}"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """The weights' directory, beside a source of GUARD."""
    write(tmp_path / "source" / "guard", with_metadata(FILES))
    models = tmp_path / "models"
    models.mkdir()
    return models


def without_exchange(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """A file system whose renameat2 answers with this error."""

    def renameat2(*_: Any) -> int:
        ctypes.set_errno(code)
        return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace(renameat2=renameat2))


def finish(models: Path) -> Plan:
    """The next run does what it finds to do; returns what that was."""
    todo = plan({"guard": model(GUARD)}, observe(models, "guard"), "forever")
    entries = {name: GUARD for name, _ in todo.fetch}
    converge(models, models.parent / "source", models=entries, restore=dict(todo.restore))
    assert plan({"guard": model(GUARD)}, observe(models, "guard"), "forever").nothing
    assert tree(models / "guard") == FILES
    return todo


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
@pytest.mark.parametrize("kind", ["directory", "file", "link to a directory", "dangling link"])
def test_what_had_the_name_is_kept_where_the_file_system_cannot_exchange(
    models: Path, monkeypatch: pytest.MonkeyPatch, kind: str, code: int
) -> None:
    """In one step: tests/programs/test_rollback.py."""
    target = models / "guard"
    write(models.parent, {"elsewhere/a": b"old"})
    if kind == "directory":
        put(target, OLDER, OLD_FILES)
    elif kind == "file":
        target.write_bytes(b"old")
    else:
        target.symlink_to("../elsewhere" if kind == "link to a directory" else "nowhere")
    inode = target.lstat().st_ino
    without_exchange(monkeypatch, code)
    finish(models)
    assert [path.lstat().st_ino for path in (models / REPLACED).iterdir()] == [inode]
    assert tree(models.parent / "elsewhere") == {"a": b"old"}


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EIO, errno.EBUSY, errno.EXDEV])
def test_an_exchange_that_fails_leaves_the_old_in_place_and_the_new_for_the_next_run(
    models: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """As a kill just before it does."""
    put(models / "guard", OLDER, OLD_FILES)
    with monkeypatch.context() as patch:
        without_exchange(patch, code)
        with pytest.raises(OSError, match="guard") as error:
            converge(models, models.parent / "source")
    assert error.value.errno == code
    assert tree(models / "guard") == OLD_FILES
    assert list(finish(models).restore) == ["guard"]


@pytest.mark.parametrize("steps", [1, 2])
def test_a_kill_within_the_three_steps_loses_no_model(
    models: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    put(models / "guard", OLDER, OLD_FILES)
    rename, done = Path.rename, list[str]()

    def rename_until_killed(self: Path, target: Path) -> Path:
        if len(done) == 1 + steps:
            raise KeyboardInterrupt
        done.append(self.name)
        return rename(self, target)

    with monkeypatch.context() as patch:
        without_exchange(patch, errno.ENOSYS)
        patch.setattr(Path, "rename", rename_until_killed)
        with pytest.raises(KeyboardInterrupt):
            converge(models, models.parent / "source")
    assert {file.read_bytes() for file in models.rglob(WEIGHTS)} == {FILES[WEIGHTS], OLD_FILES[WEIGHTS]}
    assert finish(models).fetch == ()


def test_a_reader_sees_one_whole_model_at_any_time(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It opens the model again and again, as a service would, and reads two files that belong together."""
    monkeypatch.setattr(store, "sync_directory", lambda path: None)  # durability is another matter, and slow
    seen = models.parent / "seen"
    look = 'while cd "$0" && read -r one <config && read -r other <weights; do echo "$one $other"; done'

    def version(number: int) -> None:
        write(models / "new", dict.fromkeys(("config", "weights"), b"%d\n" % number))
        store.swap_in(models, "guard", models / "new")

    version(0)
    with seen.open("w") as stdout, subprocess.Popen(["sh", "-c", look, models / "guard"], stdout=stdout) as reader:
        try:
            for number in range(1, 5000):
                version(number)
                if number > 200 and number % 50 == 0 and len(set(seen.read_text().splitlines())) >= 5:
                    break
            assert reader.poll() is None
        finally:
            reader.kill()
    pairs = [line.split() for line in seen.read_text().splitlines()]
    assert [one for one, other in pairs if one != other] == []
    assert [int(one) for one, _ in pairs] == sorted(int(one) for one, _ in pairs)
    assert len(list((models / REPLACED).iterdir())) == number


@pytest.mark.parametrize(
    ("blocks", "inodes", "words"),
    [
        (0, 30, None),
        (-1, 30, r"has 8\.5 GB free; 8\.0 GB are to be fetched and 0\.5 GB shall stay free\. .*replaced holds 0\.1 GB"),
        (0, 29, r"has 29 inodes free; 10 files are to come, which need up to 30"),
        (0, None, None),
    ],
)
def test_room_is_judged_with_what_shall_stay_free_and_replaced_models_hold(
    models: Path, monkeypatch: pytest.MonkeyPatch, blocks: int, inodes: int | None, words: str | None
) -> None:
    """Inodes only where the file system has a number of them."""
    write(models, {".replaced/guard-x/w": b""})
    with (models / ".replaced/guard-x/w").open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, 60 * 10**6)
    wanted = 8 * 10**9 // 4096 * 4096
    free = (wanted + HEADROOM) // 4096 + blocks
    disk = SimpleNamespace(f_bavail=free, f_frsize=4096, f_files=inodes is not None, f_favail=inodes or 0)
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    with pytest.raises(DiskError, match=words) if words else nullcontext():
        store.check_space(models, wanted, 10)


def test_what_is_right_in_place_is_linked_and_the_rest_fetched(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A link would be linked as such, whose size the fact finds wrong in every run."""
    place = models / "guard"
    write(place, FILES)
    (place / "config.json").chmod(0o600)
    flip(place / "tokenizer.json", -1)
    (place / WEIGHTS).rename(models.parent / "elsewhere")
    (place / WEIGHTS).symlink_to(models.parent / "elsewhere")
    (place / "tokenizer_config.json").unlink()
    (place / "tokenizer_config.json").mkdir()
    right = {path: (place / path).stat().st_ino for path in ("config.json", "sub/LICENSE.txt")}
    converge(models, models.parent / "source")
    assert tree(place) == FILES
    assert {path: (place / path).stat().st_ino for path in right} == right
    assert {(place / path).lstat().st_mode & 0o777 for path in FILES} == {0o644}
    assert not (place / WEIGHTS).is_symlink()
    said = capsys.readouterr().out
    assert "guard: 2 of 5 files are there already, unchanged." in said
    fetched = sum(len(data) for path, data in FILES.items() if path not in right)
    assert f"Fetched {size(fetched)} in " in said


def test_a_digest_of_other_content_is_no_proof(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a deep verification found right by its provenance is judged by what the origin lists now."""
    other = {**FILES, WEIGHTS: OLD_FILES[WEIGHTS], "tokenizer.json": OLD_FILES["tokenizer.json"]}
    put(models / "guard", GUARD, other)
    flip(models / "guard" / "sub" / "LICENSE.txt", 0)
    converge(models, models.parent / "source", models={}, verify={"guard": GUARD})
    assert tree(models / "guard") == FILES
    assert "guard: 2 of 5 files are there already, unchanged." in capsys.readouterr().out


def test_a_model_in_place_on_another_disk_is_copied(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NAME may be a link to a directory there, and a hard link cannot be made across."""
    write(models / "guard", FILES)
    monkeypatch.setattr(os, "link", failing(errno.EXDEV, "Invalid cross-device link"))
    converge(models, models.parent / "source")
    assert tree(models / "guard") == FILES


def test_what_was_staged_before_stays_and_nothing_else_of_it_is_installed(models: Path) -> None:
    staged, others = models / STAGED, models / ".staging"
    write(models / "guard", FILES)
    write(staged, {WEIGHTS: FILES[WEIGHTS], "config.json.part": b"", "left/x": b"1", "left.txt": b"of another catalog"})
    write(staged, {VERIFIED: f"{sha256(FILES[WEIGHTS])} {WEIGHTS}\n".encode()})
    write(others, {f"guard-{'c' * 12}/x.part": b"other revision", f"guard-2-{'c' * 12}/x.part": b"other model"})
    staged.chmod(0o700)
    inode = (staged / WEIGHTS).stat().st_ino
    converge(models, models.parent / "source")
    assert (models / "guard" / WEIGHTS).stat().st_ino == inode
    assert tree(models / "guard") == FILES
    assert (models / "guard" / PROVENANCE).exists()
    assert (models / "guard").stat().st_mode & 0o777 == 0o755
    assert [path.name for path in others.iterdir()] == [f"guard-2-{'c' * 12}"]


def test_deleting_frees_what_only_that_directory_holds(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And of a link only the link."""
    write(models, {"guard/w": os.urandom(100_000), "disk/w": b"1", ".replaced/old/sub/own": os.urandom(50_000)})
    replaced = models / REPLACED
    (replaced / "old" / "w").hardlink_to(models / "guard" / "w")
    (replaced / "file").write_bytes(os.urandom(10_000))
    (replaced / "link").symlink_to("../disk")
    freed = {name: (replaced / name).lstat().st_blocks * 512 for name in ("old/sub/own", "file", "link")}
    fetch.converge(models, request(models, expired=["old", "file", "link"]))
    said = capsys.readouterr().out
    for name, count in freed.items():
        assert (
            f"{name.partition('/')[0]}: deleted, its time was over (weights_keep_replaced_days); {size(count)} are free"
            in said
        )
    assert tree(models).keys() == {"guard/w", "disk/w"}
    assert list(replaced.iterdir()) == []
