"""Several requests at a time, bytes in order, and an end to everything: against an origin without a line."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from on_host.weights import window
from on_host.weights.origin import RefusedError, RemoteFile, Source, UnreachableError
from on_host.weights.window import Segment, Window, segments

CONNECTIONS = 4
SEGMENT = 10
DATA = bytes(range(105))
SOURCE = Source("x/y", "a" * 40)
LONG_S = 10.0
"""A test that hangs so long has failed."""

HUNG: list[str] = []
"""What no reader left in time; it is asked after each test, for nobody looks at a worker's error."""

Answer = Callable[[int, int], Iterator[bytes]]


@dataclass
class Fake:
    """An origin with one file; `answer` says what a request from `start` to before `end` brings."""

    answer: Answer
    ignores_ranges: bool = False
    source: Source = SOURCE
    place: str = "fake.example"
    asked: list[tuple[int, int | None]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def check_access(self) -> None:
        """Nobody is kept out."""

    def listing(self) -> dict[str, RemoteFile]:
        return {"w": RemoteFile("w", len(DATA))}

    @contextmanager
    def stream(self, path: str, start: int, end: int | None = None) -> Iterator[tuple[int, Iterator[bytes]]]:
        assert path == "w"
        with self.lock:
            self.asked.append((start, end))
        yield 0 if self.ignores_ranges else start, self.answer(start, len(DATA) if end is None else end)


def plainly(start: int, end: int) -> Iterator[bytes]:
    """What was asked for, in pieces of three bytes."""
    for first in range(start, end, 3):
        yield DATA[first : min(first + 3, end)]


def until_stopped(give_up: float) -> Iterator[bytes]:
    """A line on which nothing comes, for the reader to leave."""
    while time.monotonic() < give_up:
        time.sleep(0.001)  # as a socket would block
        yield b""
    HUNG.append("nobody stopped this")


def workers() -> set[threading.Thread]:
    """The threads of all pools."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")}


@dataclass
class Reading:
    """A window on a fake origin, and what it told."""

    origin: Fake
    troubles: list[str] = field(default_factory=list)
    ticks: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.window = Window(self.origin, self.troubles.append, lambda: self.ticks.append(time.monotonic()))

    def segments(self, *, ranges: bool = True) -> Generator[tuple[Segment, bytearray], None, None]:
        reading = self.window.read(segments("w", 0, len(DATA), ranges=ranges))
        assert isinstance(reading, Generator)
        return reading

    def content(self, *, ranges: bool = True) -> bytes:
        return b"".join(content for _, content in self.segments(ranges=ranges))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(window, "CONNECTIONS", CONNECTIONS)
    monkeypatch.setattr(window, "SEGMENT", SEGMENT)
    monkeypatch.setattr(window, "PATIENCE_S", 0.0)
    HUNG.clear()
    yield
    assert HUNG == []


def test_segments_cover_what_is_missing() -> None:
    assert [(s.start, s.end, s.whole) for s in segments("w", 7, 30, ranges=True)] == [
        *((7, 17, False), (17, 27, False), (27, 30, False)),
    ]
    assert [(s.start, s.end, s.whole) for s in segments("w", 0, 10, ranges=True)] == [(0, 10, True)]
    assert [(s.start, s.end, s.whole) for s in segments("w", 0, 30, ranges=False)] == [(0, 30, True)]
    assert list(segments("w", 30, 30, ranges=True)) == list(segments("w", 0, 0, ranges=False)) == []


def test_a_whole_file_is_asked_for_without_a_range() -> None:
    reading = Reading(Fake(plainly))
    assert reading.content(ranges=False) == DATA
    assert reading.origin.asked == [(0, None)]


def test_the_order_is_kept_though_later_segments_come_first() -> None:
    ended: list[int] = []
    others = threading.Event()

    def first_last(start: int, end: int) -> Iterator[bytes]:
        if start == 0:
            assert others.wait(LONG_S)
        ended.append(start)
        if len(ended) == CONNECTIONS - 1:
            others.set()
        yield from plainly(start, end)

    reading = Reading(Fake(first_last))
    got = list(reading.segments())
    assert ended[:CONNECTIONS].index(0) == CONNECTIONS - 1
    assert [segment.start for segment, _ in got] == list(range(0, 105, SEGMENT))
    assert b"".join(content for _, content in got) == DATA


def test_as_many_are_under_way_as_there_are_connections_and_no_more_are_ahead() -> None:
    together = threading.Barrier(CONNECTIONS)
    consumed = 0
    ahead: list[int] = []

    def meeting(start: int, end: int) -> Iterator[bytes]:
        ahead.append(len(origin.asked) - consumed)
        if start < CONNECTIONS * SEGMENT:
            together.wait(LONG_S)
        yield from plainly(start, end)

    origin = Fake(meeting)
    for _ in Reading(origin).segments():
        consumed += 1
    assert consumed == 11
    assert max(ahead) == CONNECTIONS


def test_nothing_is_asked_for_while_the_consumer_takes_its_time() -> None:
    origin = Fake(plainly)
    reading = Reading(origin).segments()
    next(reading)
    assert len(origin.asked) <= CONNECTIONS
    reading.close()
    assert len(origin.asked) <= CONNECTIONS


@pytest.mark.parametrize("words", ["cut", ""])
def test_a_segment_that_ends_early_goes_on_from_where_it_was(words: str) -> None:
    """With an error or without: what came is kept."""
    cut: list[int] = []

    def once(start: int, end: int) -> Iterator[bytes]:
        if start == 20 and not cut:
            cut.append(start)
            yield DATA[20:24]
            if words:
                raise UnreachableError(words)
            return
        yield from plainly(start, end)

    reading = Reading(Fake(once))
    assert reading.content() == DATA
    assert sorted(reading.origin.asked)[2:4] == [(20, 30), (24, 30)]
    assert len(reading.origin.asked) == 12
    assert reading.troubles == [f"w was cut at byte 24, resuming. {words or 'x/y@aaaaaaaaaaaa: w ended early.'}"]


def test_a_whole_file_that_was_cut_goes_on_with_a_range() -> None:
    def halves(start: int, end: int) -> Iterator[bytes]:
        yield DATA[start : (start + end + 1) // 2]

    reading = Reading(Fake(halves))
    assert reading.content(ranges=False) == DATA
    assert reading.origin.asked[:3] == [(0, None), (53, 105), (79, 105)]


def test_a_line_that_brings_nothing_is_given_up_after_so_many_tries() -> None:
    def dead(start: int, end: int) -> Iterator[bytes]:
        if start == 0:
            raise UnreachableError("no answer")
        yield from plainly(start, end)

    reading = Reading(Fake(dead))
    with pytest.raises(UnreachableError, match="no answer"):
        reading.content()
    assert reading.origin.asked.count((0, 10)) == window.TRIES
    assert len(reading.origin.asked) <= window.TRIES + CONNECTIONS - 1
    assert len(reading.troubles) == window.TRIES - 1


def test_a_line_that_brings_a_byte_now_and_then_is_not_given_up() -> None:
    def trickle(start: int, end: int) -> Iterator[bytes]:
        yield DATA[start : min(start + 1, end)]
        raise UnreachableError("cut")

    assert Reading(Fake(trickle)).content(ranges=False) == DATA
    assert len(DATA) > window.TRIES


@pytest.mark.parametrize(("retry_after", "expected"), [(0, [2.0, 4.0, 8.0]), (5, [5.0, 5.0, 8.0]), (60, [60.0] * 3)])
def test_the_servers_word_and_our_patience_say_how_long_to_wait(
    monkeypatch: pytest.MonkeyPatch, retry_after: float, expected: list[float]
) -> None:
    waits: list[float] = []

    def three_times(start: int, end: int) -> Iterator[bytes]:
        if start == 0 and len(waits) < 3:
            raise UnreachableError("too many requests", retry_after)
        yield from plainly(start, end)

    reading = Reading(Fake(three_times))
    monkeypatch.setattr(window, "PATIENCE_S", 2.0)
    monkeypatch.setattr(reading.window._stop, "wait", waits.append)
    assert reading.content() == DATA
    assert waits == expected


@pytest.mark.parametrize("error", [RefusedError("no access"), TimeoutError("timed out"), OSError(5, "I/O error")])
def test_a_refusal_or_an_accident_ends_it_and_stops_the_others(error: Exception) -> None:
    """TimeoutError is also what waiting for a future raises: it must not be taken for that."""

    def first_fails(start: int, end: int) -> Iterator[bytes]:
        if start == 0:
            raise error
        yield from until_stopped(time.monotonic() + LONG_S)

    reading = Reading(Fake(first_fails))
    with pytest.raises(type(error)) as raised:
        reading.content()
    assert raised.value is error
    assert len(reading.origin.asked) <= CONNECTIONS
    assert reading.troubles == []


def test_what_came_before_a_refusal_is_handed_on() -> None:
    def third_fails(start: int, end: int) -> Iterator[bytes]:
        if start == 2 * SEGMENT:
            raise RefusedError("gone")
        yield from plainly(start, end)

    got = bytearray()
    with pytest.raises(RefusedError, match="gone"):  # noqa: PT012 - what came before it matters
        for _, content in Reading(Fake(third_fails)).segments():
            got += content
    assert got == DATA[: 2 * SEGMENT]


def test_leaving_early_stops_the_workers() -> None:
    def first_only(start: int, end: int) -> Iterator[bytes]:
        if start:
            yield from until_stopped(time.monotonic() + LONG_S)
        yield from plainly(start, end)

    reading = Reading(Fake(first_only))
    before = workers()
    taken = reading.segments()
    assert next(taken)[1] == DATA[:SEGMENT]
    taken.close()
    assert workers() <= before
    assert len(reading.origin.asked) <= CONNECTIONS


def test_leaving_early_does_not_wait_for_our_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "PATIENCE_S", 1000.0)
    waiting = threading.Event()

    def second_waits(start: int, end: int) -> Iterator[bytes]:
        if start == SEGMENT:
            raise UnreachableError("cut")
        assert start != 0 or waiting.wait(LONG_S)
        yield from plainly(start, end)

    reading = Reading(Fake(second_waits))
    reading.window._trouble = lambda words: waiting.set()
    taken = reading.segments()
    next(taken)
    taken.close()
    assert waiting.is_set()


def test_it_ticks_while_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "TICK_S", 0.005)

    def until_ticked(start: int, end: int) -> Iterator[bytes]:
        give_up = time.monotonic() + LONG_S
        while len(reading.ticks) < 3:
            assert time.monotonic() < give_up
            time.sleep(0.001)  # as a socket would block
        yield from plainly(start, end)

    reading = Reading(Fake(until_ticked))
    assert reading.content() == DATA


def test_a_server_that_ignores_ranges_is_refused() -> None:
    reading = Reading(Fake(plainly, ignores_ranges=True))
    with pytest.raises(RefusedError, match=r"fake.example answers a request for a range of w with the whole file"):
        reading.content()
    assert Reading(Fake(plainly, ignores_ranges=True)).content(ranges=False) == DATA


def test_a_small_file_that_was_cut_comes_whole_from_a_server_without_ranges() -> None:
    """Only large-file storage is known to serve ranges, so the rest of a small file may come as the whole."""
    cut: list[int] = []

    def once(start: int, end: int) -> Iterator[bytes]:
        if not cut:
            cut.append(start)
            yield DATA[:50]
            raise UnreachableError("cut")
        yield from plainly(0, end)

    assert Reading(Fake(once, ignores_ranges=True)).content(ranges=False) == DATA


def test_more_bytes_than_asked_for_are_ignored() -> None:
    def generous(start: int, end: int) -> Iterator[bytes]:
        yield DATA[start : end - 1]
        yield DATA[end - 1 :] + b"and more"
        yield from until_stopped(time.monotonic() + LONG_S)

    assert Reading(Fake(generous)).content() == DATA
