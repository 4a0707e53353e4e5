"""What goes wrong next. The controls are listed in server.py."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from tests.lab.bedrock.errors import Refused, denied, ended, forbidden, legacy, throttled, unavailable

_REFUSALS: dict[str, Callable[[str], Refused]] = {
    "deny": denied,
    "forbid": forbidden,
    "end": ended,
    "legacy": legacy,
}


class Faults:
    """The switches, and how many requests they still apply to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._refused: dict[str, str] = {}
        self._left = {"throttle": 0, "down": 0, "break-stream": 0}
        self._first_ms = self._between_ms = 0

    def control(self, verb: str, query: Mapping[str, str]) -> bool:
        """See ControlledServer.control."""
        with self._lock:
            if verb == "reset":
                self._forget()
            elif verb in _REFUSALS:
                self._refused.pop(query.get("client", ""), None)
                if query["on"] == "1":
                    self._refused[query.get("client", "")] = verb
            elif verb in self._left:
                self._left[verb] = int(query.get("for", "1"))
            elif verb == "slow":
                self._first_ms, self._between_ms = int(query.get("first", "0")), int(query.get("between", "0"))
            else:
                return False
        return True

    def check_down(self) -> None:
        """Before anything else is looked at."""
        if self._take("down"):
            raise unavailable()

    def check_quota(self) -> None:
        """After the signature, as it depends on whose request it is."""
        if self._take("throttle"):
            raise throttled()

    def check_access(self, client: str, model_id: str) -> None:
        """Once it is known which model is meant, and that there is one of that name."""
        verb = self._refused.get(client) or self._refused.get("")
        if verb:
            raise _REFUSALS[verb](model_id)

    def takes_break(self) -> bool:
        """Whether this stream is to end in its middle."""
        return self._take("break-stream")

    def await_first(self) -> None:
        """The time until the first word."""
        time.sleep(self._first_ms / 1000)

    def await_next(self, words: int = 1) -> None:
        """The time between words."""
        time.sleep(words * self._between_ms / 1000)

    def _take(self, verb: str) -> bool:
        with self._lock:
            due = self._left[verb] > 0
            self._left[verb] -= due
            return due
