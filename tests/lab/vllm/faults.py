"""What goes wrong on demand.

The controls answer only inside the container, and the real server has none:

    docker exec voice-vllm-guard-1 curl -X POST 'http://127.0.0.1:8000/lab/slow?ms=3000'

    POST /lab/slow?ms=N      every judgement, and the first sound of every speech, comes N ms later (0: at once)
    POST /lab/broken?for=N   the next N judgements or speeches are answered 200 with a JSON error, as the real
                             servers may
    POST /lab/reset          forget both

Faults hit who asks from outside the container. The container's own health check goes on as if nothing were wrong, so
that a test breaks a client and not the engine's state, and no check uses up a fault that was meant for a client.
"""

from __future__ import annotations

import threading
import time

INSIDE = "127.0.0.1"
"""Where requests of the container itself come from; whoever uses a published port has the bridge's address."""


class Faults:
    """What goes wrong next, for all requests together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slow_ms = 0
        self._broken = 0

    def control(self, verb: str, query: dict[str, str]) -> bool:
        """Do what a POST to /lab/VERB asks for; False if there is no such verb, or its number is none."""
        try:
            return self._control(verb, query)
        except (KeyError, ValueError):
            return False

    def _control(self, verb: str, query: dict[str, str]) -> bool:
        with self._lock:
            if verb == "slow":
                self._slow_ms = int(query["ms"])
            elif verb == "broken":
                self._broken = int(query["for"])
            elif verb == "reset":
                self._slow_ms = self._broken = 0
            else:
                return False
        return True

    def delay(self) -> None:
        """Be as slow as asked for."""
        time.sleep(self._slow_ms / 1000)

    def take_broken(self) -> bool:
        """Whether this answer is to be broken."""
        with self._lock:
            self._broken -= (broken := self._broken > 0)
            return broken
