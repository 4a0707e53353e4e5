"""Signed addresses, as the CDN's: each for one file, and only until it expires."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Mapping


class Signer:
    """Signs with a key of its own, so an address of another run is refused too."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._issued = 0
        self._expired = 0

    def sign(self, path: str) -> str:
        """`path` with the query that opens it."""
        with self._lock:
            self._issued += 1
            issue = str(self._issued)
        return f"{path}?X-Issue={issue}&X-Signature={self._signature(path, issue)}"

    def expire(self) -> None:
        """From now on every address signed so far is too old."""
        with self._lock:
            self._expired = self._issued

    def objection(self, path: str, query: Mapping[str, str]) -> str | None:
        """Why this address does not open `path`, in CloudFront's words; None if it does."""
        issue, claimed = query.get("X-Issue", ""), query.get("X-Signature", "")
        if not hmac.compare_digest(claimed.encode(), self._signature(path, issue).encode()):
            return "Access denied"
        return "Request has expired" if int(issue) <= self._expired else None

    def _signature(self, path: str, issue: str) -> str:
        return hmac.new(self._key, f"{path} {issue}".encode(), hashlib.sha256).hexdigest()
