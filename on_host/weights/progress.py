"""Progress in whole lines: per model and overall, at most one every few seconds, readable in a CI log."""

from __future__ import annotations

import threading
import time
from collections import deque

EVERY_S = 3.0

RECENT_LINES = 10
"""The rate is that of the time since this many lines ago, so that a stall or a resumed run shows."""


def say(text: str) -> None:
    """One line to standard output, at once: whoever reads it sits at the other end of an ssh connection."""
    print(text, flush=True)


class Progress:
    """Counts bytes as they come, from any thread.

    Args:
        total: bytes that are to come in this run, of all models.
        what: what is being done, for the lines' beginning, while no model was named.
    """

    def __init__(self, total: int, what: str = "") -> None:
        self._total, self._what = total, what
        self._done = self._model_done = self._model_total = 0
        self._model = ""
        self._started = self._reported = time.monotonic()
        self._troubled = float("-inf")
        self._recent = deque([(self._started, 0)], maxlen=RECENT_LINES)
        self._lock = threading.Lock()

    def model(self, name: str, total: int) -> None:
        """From here on the bytes belong to this model; `total` are its bytes in this run."""
        self._model, self._model_done, self._model_total = name, 0, total

    def add(self, count: int) -> None:
        """`count` more bytes came."""
        with self._lock:
            self._done += count
            self._model_done += count
        self.tick()

    def tick(self) -> None:
        """Write a line if one is due; to be called now and then while nothing comes."""
        with self._lock:
            now = time.monotonic()
            if now - self._reported < EVERY_S:
                return
            self._reported = now
            say(self.line())
            self._recent.append((now, self._done))

    def again(self, count: int) -> None:
        """`count` bytes that had counted are to come again."""
        with self._lock:
            self._total += count
            self._model_total += count

    def trouble(self, text: str) -> None:
        """Say what goes wrong; of many connections that fail at once, one line every few seconds is enough."""
        with self._lock:
            now = time.monotonic()
            if now - self._troubled < EVERY_S:
                return
            self._troubled = now
            say(text)

    def line(self) -> str:
        """How far, how fast, how long still."""
        since, before = self._recent[0]
        rate = (self._done - before) / max(time.monotonic() - since, 1e-6)
        left = (self._total - self._done) / rate if rate else float("inf")
        speed = f"{rate / 1e6:.1f} MB/s, {duration(left)} left"
        if not self._model:
            return f"{self._what}: {share(self._done, self._total)}, {speed}"
        model = f"{self._model}: {share(self._model_done, self._model_total)}"
        return f"{model}; all models: {share(self._done, self._total)}, {speed}"

    def summary(self) -> str:
        """What came in the whole run, how long it took."""
        seconds = max(time.monotonic() - self._started, 1e-6)
        return f"{size(self._done)} in {duration(seconds)}, {self._done / seconds / 1e6:.1f} MB/s"


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
