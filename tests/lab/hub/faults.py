"""What both servers know: what goes wrong next, and what was served. The controls are listed in server.py."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.lab.hub.models import Library
from tests.lab.hub.pace import Pace
from tests.lab.hub.signing import Signer


@dataclass
class Served:
    """One request and its answer; `bytes` grows while the body goes out, and `done` says that it ended.

    `client` is the address of who asked.
    """

    server: str
    method: str
    path: str
    client: str
    status: int = 0
    range: str | None = None
    bytes: int = 0
    authorization: bool = False
    done: bool = False


@dataclass
class Faults:
    """What goes wrong next."""

    cut_after: int = 0
    cuts: int = 0
    down: int = 0
    down_for: str = ""
    throttled: int = 0
    retry_after: int = 1
    no_ranges: bool = False
    corrupt: dict[str, int] = field(default_factory=dict)


class Shared:
    """The state of both servers."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.cdn_url = ""
        self.signer = Signer()
        self.pace = Pace()
        self.lock = threading.Lock()
        self.faults = Faults()
        self.log: list[Served] = []

    def control(self, verb: str, query: Mapping[str, str]) -> bool:
        """Do what a POST to /lab/VERB asks for; False if there is no such verb."""
        with self.lock:
            return self._control(verb, query)

    def _control(self, verb: str, query: Mapping[str, str]) -> bool:
        faults = self.faults
        match verb:
            case "cut-after":
                faults.cut_after, faults.cuts = int(query["bytes"]), int(query.get("times", "1"))
            case "down":
                faults.down, faults.down_for = int(query["for"]), query.get("client", "")
            case "throttle":
                faults.throttled, faults.retry_after = int(query["for"]), int(query.get("retry-after", "1"))
            case "slow":
                self.pace.set(int(query["rate"]), int(query.get("after", "0")))
            case "corrupt":
                faults.corrupt[query["path"]] = int(query.get("times", "1"))
            case "no-ranges":
                faults.no_ranges = query["on"] == "1"
            case "expire":
                self.signer.expire()
            case "reset":
                self.faults, self.log = Faults(), []
                self.pace.set(0)
            case _:
                return False
        return True

    def note(self, served: Served) -> None:
        """One more request in the log."""
        with self.lock:
            self.log.append(served)

    def report(self) -> list[dict[str, Any]]:
        """The log as it is now."""
        with self.lock:
            log = list(self.log)
        return [asdict(served) for served in log]

    def take_cut(self, length: int) -> int | None:
        """After how many bytes this body shall end, if it shall."""
        with self.lock:
            if self.faults.cuts and length > self.faults.cut_after:
                self.faults.cuts -= 1
                return self.faults.cut_after
        return None

    def take_corruption(self, path: str) -> bool:
        """Whether this answer shall be damaged."""
        with self.lock:
            left = self.faults.corrupt.get(path, 0)
            self.faults.corrupt[path] = max(left - 1, 0)
        return left > 0

    def take_down(self, client: str) -> bool:
        """Whether this client's request falls into an outage."""
        with self.lock:
            if self.faults.down_for not in ("", client):
                return False
            left = self.faults.down
            self.faults.down = max(left - 1, 0)
        return left > 0

    def take_throttle(self) -> int | None:
        """After how many seconds to come back, if this request is one too many."""
        with self.lock:
            if not self.faults.throttled:
                return None
            self.faults.throttled -= 1
            return self.faults.retry_after
