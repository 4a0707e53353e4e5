"""How fast bodies go out: one limit for all connections together."""

from __future__ import annotations

import threading
import time

PIECE = 64 * 1024
"""Sent at once while the rate is limited; fewer bytes at low rates, lest a client takes the line for dead."""

UNLIMITED_PIECE = 1 << 20
"""Sent at once otherwise: large enough to cost nothing, small enough that the log shows a download go on."""

CREDIT_S = 0.05
"""How far a late thread may catch up; without it every wake-up would lower the rate."""


class Pace:
    """Bytes per second, dealt out in turns: whoever asks first is served first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._changes = 0
        self._rate = 0
        self._unhindered = 0
        self._free_at = 0.0

    def set(self, rate: int, after: int = 0) -> None:
        """Bytes per second from now on, also for bodies that are under way; 0: as fast as it goes.

        The next `after` bytes still go as fast as they can: whoever waits for them finds a download that is held.
        """
        with self._changed:
            self._rate = rate
            self._unhindered = after
            self._changes += 1
            self._free_at = time.monotonic()
            self._changed.notify_all()

    def take(self, wanted: int) -> int:
        """Wait for a turn.

        Returns:
            how many of the `wanted` bytes may go now.
        """
        with self._changed:
            if self._rate and self._unhindered:
                size = min(wanted, UNLIMITED_PIECE, self._unhindered)
                self._unhindered -= size
                return size
            while self._rate:
                size = min(wanted, PIECE, max(self._rate // 10, 1))
                if self._turn_came(size):
                    return size
        return min(wanted, UNLIMITED_PIECE)

    def _turn_came(self, size: int) -> bool:
        """Reserve the time that `size` bytes take, and wait until it is over; False if the rate changes meanwhile."""
        now = time.monotonic()
        self._free_at = max(self._free_at, now - CREDIT_S) + size / self._rate
        changes = self._changes
        return not self._changed.wait_for(lambda: self._changes != changes, timeout=self._free_at - now)
