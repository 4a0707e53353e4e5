"""The runs that a host remembers (voicestack/lock.sh writes the record): which commit is live. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """A run: of what ("voice.py"), its commit ("" if it came from no clone), when it ended (UTC), by whom, and how.

    `dirty`: the clone had changes that no commit has.
    """

    what: str
    commit: str
    dirty: bool
    until: str
    by: str
    outcome: str

    @property
    def is_done(self) -> bool:
        """Whether it went through to its end."""
        return self.outcome.startswith("done")

    @property
    def went_back(self) -> bool:
        """Whether it put another release in place; one that was in use already is not changed."""
        return self.what == "rollback.py" and self.is_done and not self.outcome.startswith("done: 0 of ")

    @property
    def since(self) -> str:
        """Since when its commit is live, and by whom."""
        return f"deployed {self.until} by {self.by}"


def read(lines: Iterable[str]) -> list[Run]:
    """The runs that the lines of runs.jsonl tell of; what is none of its lines is left out."""
    return [run for line in lines if (run := _read(line)) is not None]


def _read(line: str) -> Run | None:
    try:
        entry = json.loads(line)
        commit, dirty, _ = str(entry["commit"]).partition("-dirty")
        by = f"{entry['who']}@{entry['from']}"
        # It becomes a word of a git command.
        known = commit if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", commit) else ""
        return Run(
            str(entry["what"]).rpartition("/")[2], known, bool(dirty), str(entry["until"]), by, str(entry["outcome"])
        )
    except (ValueError, KeyError, TypeError):
        return None
