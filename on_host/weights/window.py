"""Bytes in order, several requests at a time, never more than a few megabytes ahead.

One connection to a content delivery network carries less than a host's line, so a file is asked for in segments
over several connections. They are handed on in order, because a hash is computed in order; what waits its turn is in
memory, at most CONNECTIONS * SEGMENT = 32 MiB. That, and what no mark vouches for yet (see part.py), is all that a
kill can cost.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from on_host.weights.origin import Origin, RefusedError, UnreachableError

CONNECTIONS = 8
SEGMENT = 4 * 1024 * 1024
"""Bytes of one request."""

TRIES = 6
"""Cuts in a row, without a byte between them, after which we give up."""

PATIENCE_S = 2.0
"""Before the second try; doubled each time."""

TICK_S = 1.0


@dataclass(frozen=True)
class Segment:
    """Bytes `start` to before `end` of one file; `whole` if that is all of it."""

    path: str
    start: int
    end: int
    whole: bool

    @property
    def length(self) -> int:
        """In bytes."""
        return self.end - self.start


def segments(path: str, start: int, size: int, *, ranges: bool) -> Iterator[Segment]:
    """What is missing of a file of `size` bytes, cut to size; in one piece where the origin may not serve ranges."""
    step = SEGMENT if ranges else max(size, 1)
    for first in range(start, size, step):
        last = min(first + step, size)
        yield Segment(path, first, last, whole=(first, last) == (0, size))


class Window:
    """Reads segments of one model.

    Args:
        origin: where from.
        trouble: is told, in words, when the line fails.
        tick: is called every second while nothing comes.
    """

    def __init__(self, origin: Origin, trouble: Callable[[str], None], tick: Callable[[], None]) -> None:
        self._origin, self._trouble, self._tick = origin, trouble, tick
        self._stop = threading.Event()

    def read(self, wanted: Iterable[Segment]) -> Iterator[tuple[Segment, bytearray]]:
        """The segments' bytes in the order asked for.

        Raises:
            RefusedError: the origin does not give them, or the line stays dead.
        """
        ahead: deque[tuple[Segment, Future[bytearray]]] = deque()
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            try:
                for segment in wanted:
                    ahead.append((segment, pool.submit(self._fetch, segment)))
                    if len(ahead) == CONNECTIONS:
                        yield self._next(ahead)
                while ahead:
                    yield self._next(ahead)
            finally:
                self._stop.set()
                pool.shutdown(cancel_futures=True)

    def _next(self, ahead: deque[tuple[Segment, Future[bytearray]]]) -> tuple[Segment, bytearray]:
        segment, future = ahead.popleft()
        while not wait([future], TICK_S).done:
            self._tick()
        return segment, future.result()

    def _fetch(self, segment: Segment) -> bytearray:
        """One segment, however often the line is cut."""
        content = bytearray()
        failures = 0
        while len(content) < segment.length and not self._stop.is_set():
            before = len(content)
            try:
                self._append(segment, content)
            except UnreachableError as error:
                failures = 1 if len(content) > before else failures + 1
                if failures == TRIES:
                    raise
                self._trouble(f"{segment.path} was cut at byte {segment.start + len(content)}, resuming. {error}")
                self._stop.wait(max(error.retry_after_s, PATIENCE_S * 2 ** (failures - 1)))
        return content

    def _append(self, segment: Segment, content: bytearray) -> None:
        """One request's worth of bytes; what came before a cut stays in `content`."""
        start = segment.start + len(content)
        end = None if segment.whole and not content else segment.end
        with self._origin.stream(segment.path, start, end) as (begins, pieces):
            if begins == 0 and segment.whole:
                content.clear()
            elif begins != start:
                raise RefusedError(
                    f"{self._origin.source}: {self._origin.place} answers a request for a range of {segment.path} "
                    "with the whole file. A mirror must serve byte ranges: choose another weights_endpoint."
                )
            for piece in pieces:
                content += piece[: segment.length - len(content)]
                if len(content) == segment.length or self._stop.is_set():
                    return
        raise UnreachableError(f"{self._origin.source}: {segment.path} ended early.")
