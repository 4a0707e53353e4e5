"""A file that grows: what a kill, a power cut or a flipped byte may cost, and what never gets a name."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import resource
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from on_host.weights import part
from on_host.weights.digest import Expected
from on_host.weights.part import Part
from tests.unit.weights import expected, failing, flip, git_sha1

MARK_EVERY = 100
PIECE = 50
DATA = bytes(index * 7 % 251 for index in range(1030))


@pytest.fixture(autouse=True)
def _small_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part, "MARK_EVERY", MARK_EVERY)


def opened(path: Path, wanted: Expected | None = None) -> Part:
    growing = Part(path, wanted or expected(DATA))
    growing.open()
    return growing


def killed(path: Path, count: int, wanted: Expected | None = None) -> Part:
    """A part after a run that wrote `count` bytes and ended."""
    growing = opened(path, wanted)
    for start in range(0, count, PIECE):
        growing.write(DATA[start : min(start + PIECE, count)])
    growing.close()
    return growing


def completed(path: Path) -> str | None:
    """What is wrong after a run that goes on and writes the rest, which must be nothing."""
    growing = opened(path)
    growing.write(DATA[growing.digest.size :])
    return growing.finish()


def resumed_at(path: Path) -> int:
    growing = opened(path)
    growing.close()
    return growing.digest.size


def test_a_whole_file_gets_its_name_and_leaves_nothing_beside(tmp_path: Path) -> None:
    growing = opened(tmp_path / "sub" / "w")
    for start in range(0, len(DATA), PIECE):
        assert not (tmp_path / "sub" / "w").exists()
        growing.write(memoryview(DATA)[start : start + PIECE])
    assert growing.finish() is None
    assert growing.digest.sha256 == hashlib.sha256(DATA).hexdigest()
    assert [file.name for file in (tmp_path / "sub").iterdir()] == ["w"]
    assert (tmp_path / "sub" / "w").read_bytes() == DATA


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Expected(len(DATA), "0" * 64), "sha256 [0-9a-f]{64} instead of 0{64}"),
        (Expected(len(DATA), None, "0" * 40), "git blob [0-9a-f]{40} instead of 0{40}"),
        (Expected(len(DATA) + 1), "1030 bytes instead of 1031"),
        (Expected(len(DATA) - 1), "1030 bytes instead of 1029"),
    ],
)
def test_a_wrong_file_is_deleted_and_said(tmp_path: Path, wanted: Expected, words: str) -> None:
    growing = opened(tmp_path / "w", wanted)
    growing.write(DATA)
    problem = growing.finish()
    assert problem is not None
    assert re.fullmatch(words, problem)
    assert list(tmp_path.iterdir()) == []


def test_a_git_blob_is_known_by_its_name(tmp_path: Path) -> None:
    wanted = Expected(len(DATA), None, git_sha1(DATA))
    killed(tmp_path / "w", 500, wanted)
    growing = opened(tmp_path / "w", wanted)
    growing.write(DATA[500:])
    assert growing.finish() is None


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    growing = opened(tmp_path / "w", expected(b""))
    assert growing.digest.size == growing.expected.size
    assert growing.finish() is None
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("w", b"")]


@pytest.mark.parametrize("count", [0, 99, 100, 555, 1030])
def test_a_run_goes_on_from_the_last_mark_and_the_digest_with_it(tmp_path: Path, count: int) -> None:
    left = killed(tmp_path / "w", count)
    assert left.vouched() == count // MARK_EVERY * MARK_EVERY
    seen: list[int] = []
    growing = Part(tmp_path / "w", expected(DATA))
    growing.open(seen.append)
    assert growing.digest.size == sum(seen) == left.vouched()
    growing.write(DATA[growing.digest.size :])
    assert growing.finish() is None
    assert growing.digest.sha256 == hashlib.sha256(DATA).hexdigest()
    assert (tmp_path / "w").read_bytes() == DATA


def test_marks_go_on_where_they_were(tmp_path: Path) -> None:
    killed(tmp_path / "w", 250)
    growing = opened(tmp_path / "w")
    growing.write(DATA[200:650])
    growing.close()
    assert growing.vouched() == 650
    assert resumed_at(tmp_path / "w") == 650


@pytest.mark.parametrize(
    "torn",
    [
        pytest.param(b"600 0123", id="torn digest"),
        pytest.param(b"600", id="torn number"),
        pytest.param(b"\0" * 80, id="zeros after a power cut"),
        pytest.param(b"600 " + b"x" * 64 + b"\n", id="not of these bytes"),
        pytest.param(b"version 2\n", id="another form"),
    ],
)
def test_a_torn_or_unknown_mark_is_no_mark(tmp_path: Path, torn: bytes) -> None:
    growing = killed(tmp_path / "w", 580)
    with growing.marks.open("ab") as stream:
        stream.write(torn)
    assert resumed_at(tmp_path / "w") == 500
    assert completed(tmp_path / "w") is None


@pytest.mark.parametrize(
    "number", ["\N{SUPERSCRIPT TWO}", "9" * 5000, "-1", "1e3"], ids=["²", "long", "negative", "float"]
)
def test_a_mark_that_is_nearly_a_number_is_no_mark(tmp_path: Path, number: str) -> None:
    """For int(), that is: "²" is a digit, and more than 4300 of them are too many."""
    growing = killed(tmp_path / "w", 580)
    with growing.marks.open("a") as stream:
        stream.write(f"{number} {'a' * 64}\n")
    assert resumed_at(tmp_path / "w") == 500


@pytest.mark.parametrize(("offset", "left"), [(0, 0), (99, 0), (100, 100), (250, 200), (499, 400), (500, 500)])
def test_a_flipped_byte_costs_no_more_than_the_way_to_the_mark_before(tmp_path: Path, offset: int, left: int) -> None:
    flip(killed(tmp_path / "w", 580).part, offset)
    assert resumed_at(tmp_path / "w") == left
    assert completed(tmp_path / "w") is None
    assert (tmp_path / "w").read_bytes() == DATA


def test_a_flipped_byte_in_one_mark_costs_that_mark(tmp_path: Path) -> None:
    """A later one vouches for all that is before it."""
    flip(killed(tmp_path / "w", 580).marks, 10)
    assert resumed_at(tmp_path / "w") == 500


def test_a_part_shorter_than_its_marks_goes_on_from_the_last_that_it_reaches(tmp_path: Path) -> None:
    growing = killed(tmp_path / "w", 580)
    os.truncate(growing.part, 399)
    assert growing.vouched() == 300
    assert resumed_at(tmp_path / "w") == 300
    assert completed(tmp_path / "w") is None


def test_a_part_longer_than_its_marks_is_cut_there(tmp_path: Path) -> None:
    growing = killed(tmp_path / "w", 580)
    with growing.part.open("ab") as stream:
        stream.write(b"garbage" * 1000)
    assert resumed_at(tmp_path / "w") == 500 == growing.part.stat().st_size
    assert completed(tmp_path / "w") is None


def test_a_part_longer_than_the_file_is_cut_within_it(tmp_path: Path) -> None:
    """Such a one is of another file: its marks tell the truth about bytes that nobody wants."""
    killed(tmp_path / "w", 1000)
    short = DATA[:350]
    growing = opened(tmp_path / "w", expected(short))
    assert growing.digest.size == 300
    growing.write(short[300:])
    assert growing.finish() is None
    assert (tmp_path / "w").read_bytes() == short


@pytest.mark.parametrize("lost", ["part", "marks"])
def test_without_part_or_marks_it_begins_anew(tmp_path: Path, lost: str) -> None:
    growing = killed(tmp_path / "w", 580)
    (growing.part if lost == "part" else growing.marks).unlink()
    assert growing.vouched() == 0
    assert resumed_at(tmp_path / "w") == 0
    assert completed(tmp_path / "w") is None


def test_a_disk_that_is_full_is_told_at_the_next_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed(tmp_path / "w", 300)
    growing = opened(tmp_path / "w")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", failing(errno.ENOSPC, "No space left on device"))
        growing.write(DATA[300:400])
        with pytest.raises(OSError, match="No space left"):
            growing.write(DATA[400:500])
        growing.close()
    assert growing.vouched() == 300
    assert completed(tmp_path / "w") is None


def test_a_disk_that_takes_no_more_is_told_at_once(tmp_path: Path) -> None:
    """A limit on the file's size stands for a full disk: the write itself fails, in the middle of a piece."""
    killed(tmp_path / "w", 300)
    growing = opened(tmp_path / "w")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (320, limits[1]))
        with pytest.raises(OSError, match="File too large"):
            growing.write(DATA[300:350])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    growing.close()
    assert growing.part.stat().st_size == 320
    assert completed(tmp_path / "w") is None
    assert (tmp_path / "w").read_bytes() == DATA


def test_no_file_gets_its_name_whose_last_sync_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel tells a failed write-back once, to whoever syncs first: here the mark's fdatasync, not finish()."""
    growing = opened(tmp_path / "w")
    monkeypatch.setattr(os, "fdatasync", failing(errno.EIO, "Input/output error"))
    growing.write(DATA)
    with pytest.raises(OSError, match="Input/output error"):
        growing.finish()
    growing.close()
    assert not (tmp_path / "w").exists()


def test_bytes_are_on_the_disk_before_a_mark_or_a_name_vouches_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = opened(tmp_path / "w")
    synced: list[tuple[str, int, int, bool]] = []

    def note(call: str) -> Callable[[int], None]:
        def sync(handle: int) -> None:
            held = os.fstat(handle).st_size
            synced.append((call, held, growing.vouched(), (tmp_path / "w").exists()))

        return sync

    for call in ("fdatasync", "fsync"):
        monkeypatch.setattr(os, call, note(call))
    growing.write(DATA[:100])
    growing.write(DATA[100:150])
    growing.write(DATA[150:])
    assert growing.finish() is None
    assert [(held >= 100, vouched) for call, held, vouched, _ in synced if call == "fdatasync"] == [
        (True, 0),
        (True, 100),
    ]
    assert [held for call, held, *_ in synced if call == "fdatasync"][-1] == len(DATA)
    assert [(held, named) for call, held, _, named in synced if call == "fsync"] == [(len(DATA), False)]


DAMAGE = st.tuples(
    st.sampled_from(["part", "marks"]),
    st.sampled_from(["cut", "flip", "add"]),
    st.integers(0, 2000),
    st.binary(min_size=1, max_size=80),
)
RUN = st.tuples(st.lists(st.integers(1, 300), max_size=6), st.lists(DAMAGE, max_size=2))


def hurt(file: Path, how: str, where: int, garbage: bytes) -> None:
    data = bytearray(file.read_bytes())
    where = min(where, len(data))
    if how == "cut":
        del data[where:]
    elif how == "add":
        data += garbage
    elif where < len(data):
        data[where] ^= garbage[0] or 1
    file.write_bytes(data)


@settings(deadline=None, max_examples=30)  # a busy machine is not a failure
@given(st.lists(RUN, max_size=4))
def test_whatever_kills_and_damage_the_file_ends_right(
    runs: list[tuple[list[int], list[tuple[str, str, int, bytes]]]],
) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        path = Path(folder) / "w"
        for writes, damage in runs:
            growing = opened(path)
            for count in writes:
                growing.write(DATA[growing.digest.size :][:count])
            growing.close()
            for which, how, where, garbage in damage:
                hurt(growing.part if which == "part" else growing.marks, how, where, garbage)
        assert completed(path) is None
        assert path.read_bytes() == DATA
        assert [file.name for file in Path(folder).iterdir()] == ["w"]
