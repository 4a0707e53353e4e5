"""Progress in whole lines: per model and overall, at most one every few seconds, readable in a CI log."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY_S = 3.0


def say(text: str) -> None:
    """One line to standard output, at once: whoever reads it sits at the other end of an ssh connection."""
    print(text, flush=True)


class Progress:
    """Counts bytes as they arrive. Rates are of bytes that came over the line in this run.

    Args:
        total: bytes to fetch over the line in this run, of all models.
        clock: seconds, monotonic.
        write: where a line goes.
    """

    def __init__(
        self,
        total: int,
        clock: Callable[[], float] = time.monotonic,
        write: Callable[[str], None] = say,
    ) -> None:
        self._total, self._clock, self._write = total, clock, write
        self._done = self._model_done = self._model_total = 0
        self._model = ""
        self._started = self._reported = clock()

    def model(self, name: str, total: int) -> None:
        """From here on the bytes belong to this model; `total` are its bytes to fetch in this run."""
        self._model, self._model_done, self._model_total = name, 0, total

    def add(self, count: int) -> None:
        """`count` more bytes arrived."""
        self._done += count
        self._model_done += count
        now = self._clock()
        if now - self._reported >= EVERY_S:
            self._reported = now
            self._write(self.line())

    def forget(self, count: int) -> None:
        """`count` bytes that had arrived are fetched again."""
        self._total += count
        self._model_total += count

    def line(self) -> str:
        """How far, how fast, how long still."""
        rate = self._done / max(self._clock() - self._started, 1e-6)
        left = (self._total - self._done) / rate if rate else float("inf")
        model = f"{self._model}: {share(self._model_done, self._model_total)}"
        overall = f"all models: {share(self._done, self._total)}"
        return f"{model}; {overall}, {rate / 1e6:.1f} MB/s, {duration(left)} left"

    def summary(self) -> str:
        """What the whole run fetched."""
        seconds = max(self._clock() - self._started, 1e-6)
        return f"{size(self._done)} fetched in {duration(seconds)}, {self._done / seconds / 1e6:.1f} MB/s"


def share(done: int, total: int) -> str:
    """Like "1.2 of 8.0 GB (15 %)"."""
    percent = 100 * done // total if total else 100
    return f"{size(done)} of {size(total)} ({percent} %)"


def size(count: int) -> str:
    """A byte count in decimal units, as the Hub shows it."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"


def duration(seconds: float) -> str:
    """Like "45 s" or "3 min 20 s"."""
    if seconds == float("inf"):
        return "unknown time"
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"
