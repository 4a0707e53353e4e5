"""The disk's side: whoever looks sees a whole model at any time, and a kill loses none."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from on_host.weights import store
from on_host.weights.digest import Expected
from on_host.weights.store import HEADROOM, INODES_PER_FILE, PROVENANCE, REPLACED, DiskError, Staging
from tests.unit.weights import (
    GUARD,
    OLDER,
    WEIGHTS,
    expected,
    failing,
    git_sha1,
    guard,
    model,
    observe,
    put,
    sha256,
    stats,
    tree,
    write,
)
from voicestack.weights.state import Plan, plan

REVISION = "b" * 40


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(tmp_path, "guard", REVISION)


def without_exchange(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """A file system whose renameat2 answers with this error."""

    def renameat2(*_: Any) -> int:
        ctypes.set_errno(code)
        return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace(renameat2=renameat2))


def test_the_first_model_takes_its_name(tmp_path: Path) -> None:
    write(tmp_path / ".staging" / "new", {"a": b"1"})
    assert store.swap_in(tmp_path, "guard", tmp_path / ".staging" / "new") is None
    assert tree(tmp_path) == {"guard/a": b"1"}


@pytest.mark.parametrize("exchange", ["in one step", "in three"])
@pytest.mark.parametrize("kind", ["directory", "file", "link to a directory", "dangling link"])
def test_what_had_the_name_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, exchange: str) -> None:
    target, incoming = tmp_path / "guard", tmp_path / ".staging" / "new"
    write(tmp_path, {".staging/new/a": b"new", "elsewhere/a": b"old"})
    if kind == "directory":
        write(target, {"a": b"old"})
    elif kind == "file":
        target.write_bytes(b"old")
    else:
        target.symlink_to("elsewhere" if kind == "link to a directory" else "nowhere")
    inode = target.lstat().st_ino
    if exchange == "in three":
        without_exchange(monkeypatch, errno.EINVAL)
    aside = store.swap_in(tmp_path, "guard", incoming)
    assert aside is not None
    assert tree(target) == {"a": b"new"}
    assert not target.is_symlink()
    assert aside.lstat().st_ino == inode
    assert [path.name for path in (tmp_path / REPLACED).iterdir()] == [aside.name]
    assert (tmp_path / "elsewhere" / "a").read_bytes() == b"old"
    assert not incoming.exists()


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_that_cannot_exchange_takes_three_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    write(tmp_path, {"one/a": b"1", "two/a": b"2"})
    without_exchange(monkeypatch, code)
    store.exchange(tmp_path / "one", tmp_path / "two")
    assert tree(tmp_path) == {"one/a": b"2", "two/a": b"1"}


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EIO, errno.EBUSY, errno.EXDEV])
def test_another_error_is_raised_and_nothing_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    write(tmp_path, {"one/a": b"1", "two/a": b"2"})
    without_exchange(monkeypatch, code)
    before = stats(tmp_path)
    with pytest.raises(OSError, match="one") as error:
        store.exchange(tmp_path / "one", tmp_path / "two")
    assert error.value.errno == code
    assert stats(tmp_path) == before


def test_a_name_that_is_gone_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, {"one/a": b"1"})
    with pytest.raises(FileNotFoundError):
        store.exchange(tmp_path / "one", tmp_path / "two")
    assert tree(tmp_path) == {"one/a": b"1"}


class Reader(threading.Thread):
    """Opens a model again and again, as a service would, and reads two files that belong together."""

    def __init__(self, target: Path) -> None:
        super().__init__(daemon=True)
        self.target, self.enough = target, threading.Event()
        self.seen: list[bytes] = []
        self.problem = ""

    def run(self) -> None:
        while not self.enough.is_set() and not self.problem:
            try:
                self.look()
            except OSError as error:
                self.problem = str(error)

    def look(self) -> None:
        folder = os.open(self.target, os.O_RDONLY | os.O_DIRECTORY)
        contents = []
        for path in ("config", "weights"):
            handle = os.open(path, os.O_RDONLY, dir_fd=folder)
            contents.append(os.read(handle, 100))
            os.close(handle)
        os.close(folder)
        if contents[0] != contents[1]:
            self.problem = f"{contents[0]!r} with {contents[1]!r}"
        if contents[0] not in self.seen[-1:]:
            self.seen.append(contents[0])


def test_a_reader_sees_one_whole_model_at_any_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "sync_directory", lambda path: None)  # durability is another matter, and slow
    put_version(tmp_path / "guard", 0)
    reader = Reader(tmp_path / "guard")
    reader.start()
    swaps = 0
    while not reader.problem and swaps < 5000 and (swaps < 200 or len(reader.seen) < 5):
        swaps += 1
        put_version(tmp_path / "new", swaps)
        assert store.swap_in(tmp_path, "guard", tmp_path / "new") is not None
    reader.enough.set()
    reader.join(20)
    assert reader.problem == ""
    versions = [int(content) for content in reader.seen]
    assert len(versions) >= 5
    assert versions == sorted(versions)
    assert len(list((tmp_path / REPLACED).iterdir())) == swaps


def put_version(folder: Path, version: int) -> None:
    write(folder, {"config": b"%d" % version, "weights": b"%d" % version})


@pytest.mark.parametrize("old", [OLDER, None])
def test_a_kill_before_the_exchange_leaves_a_model_that_the_next_run_swaps_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: dict[str, Any] | None
) -> None:
    files = guard()
    if old is None:
        write(tmp_path / "guard", {"x": b"unknown"})
    else:
        put(tmp_path / "guard", old, guard(seed=2))
    put(tmp_path / ".staging" / "new", GUARD, files)
    with monkeypatch.context() as patch:
        patch.setattr(store, "exchange", failing(errno.EINTR, "killed"))
        with pytest.raises(OSError, match="killed"):
            store.swap_in(tmp_path, "guard", tmp_path / ".staging" / "new")
    (kept,) = (tmp_path / REPLACED).iterdir()
    catalog = {"guard": model(GUARD)}
    todo = plan(catalog, observe(tmp_path, "guard"), 0)
    assert todo == Plan(restore={"guard": kept.name})
    store.swap_in(tmp_path, "guard", kept)
    assert plan(catalog, observe(tmp_path, "guard"), "forever").nothing
    assert tree(tmp_path / "guard") == files


@pytest.mark.parametrize("steps", [1, 2])
def test_a_kill_within_the_three_steps_loses_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    put(tmp_path / "guard", OLDER, guard(seed=2))
    put(tmp_path / ".staging" / "new", GUARD, guard())
    without_exchange(monkeypatch, errno.ENOSYS)
    rename, done = Path.rename, list[str]()

    def rename_until_killed(self: Path, target: Path) -> Path:
        if len(done) == 1 + steps:
            raise KeyboardInterrupt
        done.append(self.name)
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename_until_killed)
        with pytest.raises(KeyboardInterrupt):
            store.swap_in(tmp_path, "guard", tmp_path / ".staging" / "new")
    todo = plan({"guard": model(GUARD)}, observe(tmp_path, "guard"), "forever")
    assert todo.fetch == ()
    assert len(todo.restore) == 2 - steps
    weights = {file.read_bytes() for file in tmp_path.rglob(WEIGHTS)}
    assert weights == {guard()[WEIGHTS], guard(seed=2)[WEIGHTS]}


def test_what_is_set_aside_can_be_told_by_name_and_time(tmp_path: Path) -> None:
    write(tmp_path, {"old thing/a": b"1"})
    first = store.set_aside(tmp_path, "old thing")
    write(tmp_path, {"old thing/a": b"2"})
    second = store.set_aside(tmp_path, "old thing")
    assert [(path / "a").read_bytes() for path in sorted((first, second))] == [b"1", b"2"]
    assert sorted(observe(tmp_path).replaced) == [first.name, second.name]
    assert not (tmp_path / "old thing").exists()


def disk(monkeypatch: pytest.MonkeyPatch, free: int, inodes: int, has_inodes: bool = True) -> None:
    answer = SimpleNamespace(f_bavail=free // 4096, f_frsize=4096, f_files=int(has_inodes), f_favail=inodes)
    monkeypatch.setattr(os, "statvfs", lambda _: answer)


def test_room_is_judged_with_what_shall_stay_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = 8 * 10**9 // 4096 * 4096
    disk(monkeypatch, wanted + HEADROOM, 10**6)
    store.check_space(tmp_path, wanted, 10)
    disk(monkeypatch, wanted + HEADROOM - 4096, 10**6)
    with pytest.raises(DiskError, match=r"has 8\.5 GB free; 8\.0 GB are to be fetched and 0\.5 GB shall stay free"):
        store.check_space(tmp_path, wanted, 10)


def test_too_little_room_names_what_replaced_models_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {".replaced/guard-x/w": b""})
    with (tmp_path / ".replaced" / "guard-x" / "w").open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, 60 * 10**6)
    disk(monkeypatch, 0, 10**6)
    with pytest.raises(DiskError, match=r"\.replaced holds 0\.1 GB of replaced models: weights_keep_replaced_days"):
        store.check_space(tmp_path, 1, 1)


def test_inodes_are_counted_where_the_file_system_has_a_number_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk(monkeypatch, 10**12, 10 * INODES_PER_FILE)
    store.check_space(tmp_path, 1, 10)
    with pytest.raises(DiskError, match=r"has 30 inodes free; 11 files are to come"):
        store.check_space(tmp_path, 1, 11)
    disk(monkeypatch, 10**12, 0, has_inodes=False)
    store.check_space(tmp_path, 1, 11)


def test_the_right_file_in_place_is_linked_and_a_wrong_one_is_not(tmp_path: Path, staging: Staging) -> None:
    write(tmp_path / "guard", {"sub/right": b"123", "wrong": b"124", "longer": b"1234"})
    wanted = expected(b"123")
    assert staging.adopt("sub/right", wanted)
    assert not any(staging.adopt(path, wanted) for path in ("wrong", "longer", "missing", "sub"))
    assert tree(staging.path).keys() == {"sub/right", store.VERIFIED}
    assert (staging.path / "sub/right").stat().st_ino == (tmp_path / "guard" / "sub/right").stat().st_ino
    assert staging.bytes_left("sub/right", wanted) == 0
    assert staging.bytes_left("wrong", wanted) == 3


def test_a_file_that_was_read_a_moment_ago_is_not_read_again(
    tmp_path: Path, staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "guard", {"w": b"123"})
    monkeypatch.setattr(store, "digest_of", failing(errno.EIO, "it was read"))
    assert staging.adopt("w", expected(b"123"), sha256(b"123"))


@pytest.mark.parametrize("known", [None, sha256(b"124")])
def test_a_small_file_is_judged_by_its_content_whatever_is_known(
    tmp_path: Path, staging: Staging, known: str | None
) -> None:
    """Its sha256 is not listed: an unknown digest must not pass for one that was just read."""
    write(tmp_path / "guard", {"w": b"124", "v": b"123"})
    wanted = Expected(3, None, git_sha1(b"123"))
    assert not staging.adopt("w", wanted, known)
    assert staging.adopt("v", wanted, known)


def test_a_known_digest_of_other_content_is_no_proof(tmp_path: Path, staging: Staging) -> None:
    write(tmp_path / "guard", {"w": b"124"})
    assert not staging.adopt("w", expected(b"123"), sha256(b"124"))


def test_what_is_staged_already_stays(tmp_path: Path, staging: Staging) -> None:
    write(tmp_path / "guard", {"w": b"123"})
    write(staging.path, {"w": b"123"})
    inode = (staging.path / "w").stat().st_ino
    assert not staging.adopt("w", expected(b"123"))
    assert (staging.path / "w").stat().st_ino == inode


def test_a_file_in_place_that_cannot_be_read_is_not_taken(
    tmp_path: Path, staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a file on a bad sector could never be repaired."""
    write(tmp_path / "guard", {"w": b"123"})
    monkeypatch.setattr(store, "digest_of", failing(errno.EIO, "Input/output error"))
    assert not staging.adopt("w", expected(b"123"))


def test_a_model_on_another_disk_is_fetched_or_copied(
    tmp_path: Path, staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NAME may be a link to a directory there, and a hard link cannot be made across."""
    write(tmp_path / "guard", {"w": b"123"})
    monkeypatch.setattr(os, "link", failing(errno.EXDEV, "Invalid cross-device link"))
    assert staging.adopt("w", expected(b"123")) == (staging.digest("w", expected(b"123")) is not None)


def test_a_link_in_place_is_never_staged_as_a_link(tmp_path: Path, staging: Staging) -> None:
    """os.link would link the symbolic link itself, whose size the fact finds wrong in every run."""
    write(tmp_path, {"elsewhere": b"123"})
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "w").symlink_to(tmp_path / "elsewhere")
    assert staging.adopt("w", expected(b"123")) == (staging.digest("w", expected(b"123")) is not None)
    assert not (staging.path / "w").is_symlink()


def test_an_installed_model_holds_its_files_alone(tmp_path: Path, staging: Staging) -> None:
    write(staging.path, {"a": b"1", "sub/b": b"2", "sub/b.part": b"", "sub/b.part.marks": b"", "left": b""})
    write(tmp_path / ".staging" / ("guard-" + "c" * 12), {"x.part": b"other revision"})
    write(tmp_path / ".staging" / ("guard-2-" + "c" * 12), {"x.part": b"other model"})
    assert staging.install({"files": {"a": {}, "sub/b": {}}}) is None
    assert tree(tmp_path / "guard") == {"a": b"1", "sub/b": b"2"}
    assert (tmp_path / "guard" / PROVENANCE).exists()
    assert [path.name for path in (tmp_path / ".staging").iterdir()] == ["guard-2-" + "c" * 12]
    assert (tmp_path / "guard" / "sub").stat().st_mode & 0o777 == 0o755


def test_deleting_frees_what_only_that_directory_holds(tmp_path: Path) -> None:
    write(tmp_path, {"kept/w": os.urandom(100_000), "old/sub/own": os.urandom(50_000)})
    (tmp_path / "old" / "w").hardlink_to(tmp_path / "kept" / "w")
    own = (tmp_path / "old" / "sub" / "own").stat().st_blocks * 512
    assert store.delete(tmp_path / "old") == own >= 50_000
    assert not (tmp_path / "old").exists()
    assert store.delete(tmp_path / "kept") >= 100_000


def test_deleting_a_link_or_a_file_leaves_what_it_points_to(tmp_path: Path) -> None:
    write(tmp_path, {"disk/w": os.urandom(100_000), "file": os.urandom(10_000)})
    (tmp_path / "link").symlink_to("disk")
    assert store.delete(tmp_path / "link") < 10_000
    assert store.delete(tmp_path / "file") >= 10_000
    assert [path.name for path in tmp_path.iterdir()] == ["disk"]
    assert (tmp_path / "disk" / "w").stat().st_size == 100_000


def test_a_second_fetch_is_kept_out_and_a_later_one_is_not(tmp_path: Path) -> None:
    with store.only_one(tmp_path), pytest.raises(DiskError, match="Another fetch"), store.only_one(tmp_path):
        pass
    with store.only_one(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
