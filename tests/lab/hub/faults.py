"""What both servers know: what goes wrong next, and what was served. The controls are listed in server.py."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Mapping
from typing import Any

from tests.lab.controlled import Due
from tests.lab.hub.models import Library
from tests.lab.hub.pace import Pace


class Shared:
    """The state of both servers."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.cdn_url = ""
        self.pace = Pace()
        self.log: deque[dict[str, Any]] = deque(maxlen=20_000)
        self._signed: dict[str, str] = {}
        """Signature -> the address on the CDN that it opens."""
        self._expired: set[str] = set()
        self._forget()

    def _forget(self) -> None:
        self.due = Due()
        self.cut_after = 0
        self.retry_after = 1
        self.down_for = ""
        self.no_ranges = False

    def control(self, verb: str, query: Mapping[str, str]) -> bool:
        """See ControlledServer.control."""
        times = int(query.get("times", "1"))
        match verb:
            case "cut-after":
                self.cut_after = int(query["bytes"])
                self.due.set("cut", times)
            case "down":
                self.down_for = query.get("client", "")
                self.due.set("down", int(query["for"]))
            case "throttle":
                self.retry_after = int(query.get("retry-after", "1"))
                self.due.set("throttle", int(query["for"]))
            case "slow":
                self.pace.set(int(query["rate"]), int(query.get("after", "0")))
            case "corrupt":
                self.due.set(f"corrupt {query['path']}", times)
            case "no-ranges":
                self.no_ranges = query["on"] == "1"
            case "expire":
                self._expired = set(self._signed)
            case "reset":
                self._forget()
                self.log.clear()
                self.pace.set(0)
            case _:
                return False
        return True

    def sign(self, path: str) -> str:
        """An address on the CDN that opens this path, until it expires."""
        signature = secrets.token_urlsafe()
        self._signed[signature] = path
        return f"{self.cdn_url}{path}?X-Signature={signature}"

    def objection(self, path: str, signature: str) -> str | None:
        """Why this signature does not open the path, in CloudFront's words; None if it does."""
        if self._signed.get(signature) != path:
            return "Access denied"
        return "Request has expired" if signature in self._expired else None
