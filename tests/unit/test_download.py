"""One file on its way: what is asked of the origin, what lies on the disk, and what a kill or damage may cost."""

from __future__ import annotations

import errno
import os
import resource
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from on_host.weights import part, progress, window
from on_host.weights.digest import Expected
from on_host.weights.download import Downloads
from on_host.weights.origin import RefusedError, Source, UnreachableError
from on_host.weights.progress import Progress
from on_host.weights.store import VERIFIED, Staging
from tests.unit.weights import expected, failing, flip, git_sha1, sha256, tree

CONNECTIONS = 4
SEGMENT = 50
MARK_EVERY = 100
DATA = bytes(index * 7 % 251 for index in range(1030))
LARGE = expected(DATA)
SMALL = Expected(len(DATA), None, git_sha1(DATA))
"""As the Hub lists a file that is not in large-file storage: who serves it may know no ranges."""

LONG_S = 10.0
"""A test that takes so long has failed: a reader did not leave a line on which nothing comes."""

Answer = Callable[[int, int], Iterator[bytes]]


def plainly(start: int, end: int) -> Iterator[bytes]:
    """What was asked for, in pieces."""
    for first in range(start, end, 30):
        yield DATA[first : min(first + 30, end)]


def broken(at: int, error: Exception | None, after: int = 0, others: Answer | None = None) -> Answer:
    """What begins at byte `at` breaks `after` so many bytes, with an error or without."""

    def answer(start: int, end: int) -> Iterator[bytes]:
        if start == at:
            yield DATA[at : at + after]
            if error:
                raise error
        else:
            yield from (others or plainly)(start, end)

    return answer


def killed_at(byte: int) -> Answer:
    """The run ends when it asks for this byte or a later one."""

    def answer(start: int, end: int) -> Iterator[bytes]:
        if start >= byte:
            raise RefusedError("killed")
        yield from plainly(start, end)

    return answer


def nothing(*_: int) -> Iterator[bytes]:
    """A line on which nothing comes, for the reader to leave."""
    give_up = time.monotonic() + LONG_S
    while time.monotonic() < give_up:
        time.sleep(0.001)  # as a socket would block
        yield b""


@dataclass
class Fake:
    """An origin with one file; `answer` says what a request from `start` to before `end` brings."""

    answer: Answer = plainly
    ignores_ranges: bool = False
    source: Source = field(default_factory=lambda: Source("x/y", "a" * 40))
    place: str = "fake.example"
    asked: list[tuple[int, int | None]] = field(default_factory=list)

    def check_access(self) -> None:
        """Nobody is kept out."""

    def listing(self) -> dict[str, Expected]:
        raise NotImplementedError

    @contextmanager
    def stream(self, path: str, start: int, end: int | None = None) -> Iterator[tuple[int, Iterator[bytes]]]:
        assert path == "sub/w"
        self.asked.append((start, end))
        start = 0 if self.ignores_ranges else start
        yield start, self.answer(start, len(DATA) if end is None else end)


class Place:
    """Where the file is fetched to."""

    def __init__(self, folder: Path) -> None:
        self.staging = Staging(folder, "guard", "b" * 40)
        self.part = self.staging.path / "sub" / "w.part"
        self.marks = self.staging.path / "sub" / "w.part.marks"

    def fetch(self, origin: Fake | Answer = plainly, wanted: Expected = LARGE) -> Fake:
        """A run, which must end well."""
        origin = origin if isinstance(origin, Fake) else Fake(origin)
        counted = Progress(self.staging.bytes_left("sub/w", wanted), "all")
        digests = Downloads(origin, self.staging, counted).fetch({"sub/w": wanted})
        content = DATA[: wanted.size]
        assert digests == {"sub/w": sha256(content)}
        assert self.held() == {"sub/w": content}
        assert "(100 %)" in counted.line()
        return origin

    def kill_at(self, byte: int, wanted: Expected = LARGE) -> None:
        """A run that ends before this byte."""
        with pytest.raises(RefusedError, match="killed"):
            self.fetch(killed_at(byte), wanted)

    def held(self) -> dict[str, bytes]:
        return {path: data for path, data in tree(self.staging.path).items() if path != VERIFIED}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(part, "MARK_EVERY", MARK_EVERY)
    monkeypatch.setattr(window, "CONNECTIONS", CONNECTIONS)
    monkeypatch.setattr(window, "SEGMENT", SEGMENT)
    monkeypatch.setattr(window, "PATIENCE_S", 0.0)
    began = time.monotonic()
    yield
    assert time.monotonic() - began < LONG_S


def ranges(start: int, end: int = len(DATA)) -> list[tuple[int, int]]:
    """The requests for what is missing."""
    return [(first, min(first + SEGMENT, end)) for first in range(start, end, SEGMENT)]


def test_a_large_file_is_asked_for_in_ranges_and_a_small_one_whole(place: Place, tmp_path: Path) -> None:
    assert sorted(place.fetch().asked) == ranges(0)
    assert Place(tmp_path / "small").fetch(wanted=SMALL).asked == [(0, None)]


@pytest.mark.parametrize("wanted", [expected(b""), Expected(0, None, git_sha1(b""))])
def test_an_empty_file_is_a_file_and_not_asked_for(place: Place, wanted: Expected) -> None:
    assert place.fetch(wanted=wanted).asked == []


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Expected(len(DATA), "0" * 64), "sha256 [0-9a-f]{64} instead of 0{64}"),
        (Expected(len(DATA), None, "0" * 40), "git blob [0-9a-f]{40} instead of 0{40}"),
    ],
)
def test_a_file_that_is_wrong_twice_leaves_nothing(place: Place, wanted: Expected, words: str) -> None:
    with pytest.raises(RefusedError, match=rf"x/y@a+: sub/w arrived damaged twice \({words}\)\. Nothing was installed"):
        place.fetch(wanted=wanted)
    assert place.held() == {}


def test_a_file_that_arrives_damaged_is_fetched_once_more(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    def second_time(start: int, end: int) -> Iterator[bytes]:
        yield from plainly(start, end) if len(origin.asked) > 1 else [b"x" * end]

    origin = Fake(second_time)
    assert place.fetch(origin, SMALL).asked == [(0, None), (0, None)]
    assert "guard: sub/w arrived damaged (git blob " in capsys.readouterr().out


def test_several_requests_are_under_way_none_is_too_far_ahead_and_bytes_stay_in_order(place: Place) -> None:
    """The first answer waits until all others that fit beside it have come."""
    come: list[int] = []
    ahead: list[int] = []
    others = threading.Event()

    def first_last(start: int, end: int) -> Iterator[bytes]:
        ahead.append(len(origin.asked) - place.part.stat().st_size // SEGMENT)
        if start == 0:
            assert others.wait(LONG_S)
        come.append(start)
        if len(come) == CONNECTIONS - 1:
            others.set()
        yield from plainly(start, end)

    origin = Fake(first_last)
    place.fetch(origin)
    assert come.index(0) == CONNECTIONS - 1
    assert max(ahead) == CONNECTIONS


@pytest.mark.parametrize("words", ["cut", ""])
def test_a_range_that_ends_early_goes_on_from_where_it_was(
    place: Place, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    """With an error or without: what came is kept."""
    origin = place.fetch(broken(100, UnreachableError(words) if words else None, after=4))
    assert sorted(origin.asked) == sorted([*ranges(0), (104, 150)])
    said = f"guard: sub/w was cut at byte 104, resuming. {words or 'x/y@aaaaaaaaaaaa: sub/w ended early.'}\n"
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("ignores_ranges", [False, True])
def test_a_small_file_that_was_cut_goes_on_with_a_range_or_comes_whole_again(
    place: Place, ignores_ranges: bool
) -> None:
    """Only large-file storage is known to serve ranges."""

    def once(start: int, end: int) -> Iterator[bytes]:
        if len(origin.asked) == 1:
            yield DATA[:50]
            raise UnreachableError("cut")
        yield from plainly(start, end)

    origin = Fake(once, ignores_ranges)
    assert place.fetch(origin, SMALL).asked == [(0, None), (50, 1030)]


def test_a_line_that_brings_nothing_is_given_up_after_so_many_tries(place: Place) -> None:
    origin = Fake(broken(0, UnreachableError("no answer")))
    with pytest.raises(UnreachableError, match="no answer"):
        place.fetch(origin)
    assert origin.asked.count((0, SEGMENT)) == window.TRIES
    assert len(origin.asked) <= window.TRIES + CONNECTIONS - 1


def test_a_line_that_brings_a_byte_now_and_then_is_not_given_up(place: Place) -> None:
    def trickle(start: int, end: int) -> Iterator[bytes]:
        yield DATA[start : min(start + 1, end)]
        raise UnreachableError("cut")

    wanted = expected(DATA[: 4 * window.TRIES])
    assert len(place.fetch(trickle, wanted).asked) == wanted.size


@pytest.mark.parametrize(("retry_after", "waits"), [(0, [0.02, 0.04, 0.08]), (0.05, [0.05, 0.05, 0.08])])
def test_the_servers_word_and_our_patience_say_how_long_to_wait(
    place: Place, monkeypatch: pytest.MonkeyPatch, retry_after: float, waits: list[float]
) -> None:
    moments: list[float] = []

    def three_times(start: int, end: int) -> Iterator[bytes]:
        moments.append(time.monotonic())
        if len(moments) <= 3:
            raise UnreachableError("too many requests", retry_after)
        yield from plainly(start, end)

    monkeypatch.setattr(window, "PATIENCE_S", 0.02)
    place.fetch(three_times, SMALL)
    assert all(after - before >= wait for before, after, wait in zip(moments, moments[1:], waits, strict=False))


@pytest.mark.parametrize("error", [RefusedError("no access"), TimeoutError("timed out"), OSError(5, "I/O error")])
def test_a_refusal_or_an_accident_ends_it_and_stops_the_others(place: Place, error: Exception) -> None:
    """TimeoutError is also what waiting for a future raises: it must not be taken for that."""
    origin = Fake(broken(0, error, others=nothing))
    with pytest.raises(type(error)) as raised:
        place.fetch(origin)
    assert raised.value is error
    assert len(origin.asked) <= CONNECTIONS


def test_progress_is_told_while_nothing_comes(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def late(start: int, end: int) -> Iterator[bytes]:
        time.sleep(0.1)
        yield from plainly(start, end)

    monkeypatch.setattr(window, "TICK_S", 0.005)
    monkeypatch.setattr(progress, "EVERY_S", 0)
    place.fetch(late, SMALL)
    assert "all: 0 B of 1.0 kB (0 %)" in capsys.readouterr().out


def test_more_bytes_than_asked_for_are_ignored(place: Place) -> None:
    def generous(start: int, end: int) -> Iterator[bytes]:
        yield DATA[start : end - 1]
        yield DATA[end - 1 :] + b"and more"
        yield from nothing()

    place.fetch(generous)


@pytest.mark.parametrize(("byte", "mark"), [(0, 0), (50, 0), (100, 100), (550, 500), (1000, 1000)])
def test_a_killed_run_costs_the_way_to_the_last_mark(place: Place, byte: int, mark: int) -> None:
    place.kill_at(byte)
    assert place.held().keys() == {"sub/w.part", "sub/w.part.marks"}
    assert place.staging.bytes_left("sub/w", LARGE) == len(DATA) - mark
    assert sorted(place.fetch().asked) == ranges(mark)


def test_what_an_earlier_run_left_is_read_back_and_the_rest_fetched(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also of a small file."""
    place.kill_at(550)
    monkeypatch.setattr(progress, "EVERY_S", 0)
    assert place.fetch(wanted=SMALL).asked == [(500, 1030)]
    said = capsys.readouterr().out
    assert "guard: reading back what an earlier run fetched: 500 B of 500 B (100 %)" in said
    assert "guard: sub/w goes on at byte 500 of 1030." in said


def append(garbage: bytes) -> Callable[[Place], None]:
    """What a power cut, or another version of this program, may leave behind the marks."""

    def to_the_marks(place: Place) -> None:
        place.marks.write_bytes(place.marks.read_bytes() + garbage)

    return to_the_marks


def flipped(offset: int) -> Callable[[Place], None]:
    return lambda place: flip(place.part, offset)


def test_marks_go_on_behind_a_torn_one(place: Place) -> None:
    place.kill_at(250)
    append(b"250 0123")(place)
    place.kill_at(350)
    assert sorted(place.fetch().asked) == ranges(300)


DAMAGE: dict[str, tuple[Callable[[Place], None], int]] = {
    "first byte flipped": (flipped(0), 0),
    "last byte before the first mark flipped": (flipped(99), 0),
    "first byte behind it flipped": (flipped(100), 100),
    "a byte in the middle flipped": (flipped(250), 200),
    "last byte before the last mark flipped": (flipped(499), 400),
    "a byte behind the last mark flipped": (flipped(500), 500),
    "a byte of one mark flipped, and a later one vouches for all before it": (lambda place: flip(place.marks, 10), 500),
    "part cut": (lambda place: os.truncate(place.part, 399), 300),
    "part longer": (lambda place: os.truncate(place.part, 10_000), 500),
    "part lost": (lambda place: place.part.unlink(), 0),
    "marks lost": (lambda place: place.marks.unlink(), 0),
    "torn digest": (append(b"550 0123"), 500),
    "torn number": (append(b"550"), 500),
    "zeros": (append(b"\0" * 80), 500),
    "no digest": (append(b"550 " + b"x" * 64), 500),
    "a digest of other bytes": (append(b"550 " + b"a" * 64), 500),
    "a mark beyond the part": (append(b"600 " + b"a" * 64), 500),
    "another form": (append(b"version 2\n"), 500),
    "² is a digit": (append(f"\N{SUPERSCRIPT TWO} {'a' * 64}\n".encode()), 500),
    "too many digits for int()": (append(b"9" * 5000 + b" " + b"a" * 64), 500),
    "negative": (append(b"-1 " + b"a" * 64), 500),
    "float": (append(b"1e3 " + b"a" * 64), 500),
}


@pytest.mark.parametrize(("damage", "goes_on_at"), DAMAGE.values(), ids=DAMAGE)
def test_a_run_goes_on_from_the_last_mark_that_tells_the_truth(
    place: Place, damage: Callable[[Place], None], goes_on_at: int
) -> None:
    place.kill_at(550)
    damage(place)
    assert sorted(place.fetch().asked) == ranges(goes_on_at)


def test_a_part_of_a_longer_file_is_cut_within_this_one(place: Place) -> None:
    """Its marks tell the truth about bytes that nobody wants."""
    place.kill_at(1000)
    assert sorted(place.fetch(wanted=expected(DATA[:350])).asked) == ranges(300, 350)


@pytest.mark.parametrize("others", ["hang", "wait for another try"])
def test_a_disk_that_takes_no_more_ends_the_run_at_once(
    place: Place, monkeypatch: pytest.MonkeyPatch, others: str
) -> None:
    """A limit on a file's size stands for a full disk: the write itself fails, in the middle of a piece."""

    def first_only(start: int, end: int) -> Iterator[bytes]:
        if start == 300:
            while len(origin.asked) < CONNECTIONS:
                time.sleep(0.001)
            yield from plainly(start, end)
        elif others == "hang":
            yield from nothing()
        else:
            raise UnreachableError("cut")

    place.kill_at(300)
    monkeypatch.setattr(window, "PATIENCE_S", 1000.0)
    origin = Fake(first_only)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (320, limits[1]))
        with pytest.raises(OSError, match="File too large"):
            place.fetch(origin)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert place.part.read_bytes() == DATA[:320]
    assert len(origin.asked) == CONNECTIONS
    place.fetch()


@pytest.mark.parametrize(
    ("call", "size", "missing"),
    [
        ("fdatasync", len(DATA), ranges(0)),
        ("fdatasync", MARK_EVERY, ranges(0, MARK_EVERY)),
        ("fsync", len(DATA), ranges(1000)),
        ("fsync", MARK_EVERY, []),
    ],
)
def test_what_could_not_be_synced_gets_no_mark_and_no_name(
    place: Place, monkeypatch: pytest.MonkeyPatch, call: str, size: int, missing: list[tuple[int, int]]
) -> None:
    """The kernel tells a failed write-back once, to whoever syncs first: that may be a mark, and none may follow."""
    wanted = expected(DATA[:size])
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(errno.ENOSPC, "No space left on device"))
        with pytest.raises(OSError, match="No space left"):
            place.fetch(wanted=wanted)
    assert place.held().keys() == {"sub/w.part", "sub/w.part.marks"}
    assert call == "fsync" or place.part.stat().st_size <= 2 * MARK_EVERY
    assert sorted(place.fetch(wanted=wanted).asked) == missing


def test_bytes_are_on_the_disk_before_a_mark_or_a_name_vouches_for_them(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = [0]
    vouched: list[int] = []

    def sync(handle: int) -> None:
        vouched.append(len(DATA) - place.staging.bytes_left("sub/w", LARGE))
        assert vouched[-1] <= synced[-1]
        synced.append(os.fstat(handle).st_size)

    monkeypatch.setattr(os, "fdatasync", sync)
    monkeypatch.setattr(os, "fsync", sync)
    place.fetch()
    assert vouched == [*range(0, len(DATA), MARK_EVERY)]
    assert synced[-1] == len(DATA)


FILE_DAMAGE = st.tuples(
    st.sampled_from(["part", "marks"]),
    st.sampled_from(["cut", "flip", "add"]),
    st.integers(0, 2000),
    st.binary(min_size=1, max_size=80),
)


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
@given(st.lists(st.tuples(st.integers(0, len(DATA) - 1), st.lists(FILE_DAMAGE, max_size=2)), max_size=4))
def test_whatever_kills_and_damage_the_file_ends_right(
    runs: list[tuple[int, list[tuple[str, str, int, bytes]]]],
) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        place = Place(Path(folder))
        for byte, damage in runs:
            with pytest.raises(RefusedError):
                place.fetch(killed_at(byte - byte % SEGMENT))
            for which, how, where, garbage in damage:
                hurt(place.part if which == "part" else place.marks, how, where, garbage)
        place.fetch()
