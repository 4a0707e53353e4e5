"""The record on a host of which commit is live: written by deploys/voice.py, read by deploys/audit.py."""

from __future__ import annotations

import getpass
import hashlib
import json
import re
import socket
from collections.abc import Generator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone

from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from deploys.release.clone import Head, head
from deploys.remote import File, place
from deploys.settings import Settings
from deploys.stack.operations import Stack
from deploys.stack.render import HOME

RECORD = f"{HOME}/.deployed.json"

NOT_DEPLOYED: dict[str, set[str] | bool] = {"audit": True, "gate": True, "preflight": True, "weights": {"verify"}}
"""Settings that leave nothing on a host."""


@dataclass(frozen=True)
class Record:
    """What was deployed, and by the last run that changed something, when (UTC) and by whom (USER@CONTROLLER).

    `settings` is a digest: it tells whether they were the same, and nothing else.
    """

    commit: str = ""
    dirty: bool = False
    settings: str = ""
    at: str = ""
    by: str = ""

    @property
    def head(self) -> Head:
        """What is compared."""
        return Head(self.commit, self.dirty)


def read(text: str) -> Record | None:
    """What a record's file says; None when it is none."""
    try:
        values = json.loads(text)
        found = Record(**values)
    except (ValueError, TypeError):
        return None
    typed = all(type(value) is type(getattr(Record(), key)) for key, value in values.items())
    # It becomes a word of a git command.
    return found if typed and re.fullmatch(r"([0-9a-f]{40}([0-9a-f]{24})?)?", found.commit) else None


def digest(settings: Settings) -> str:
    """A digest of the settings that reach a host."""
    values = settings.model_dump(mode="json", exclude=NOT_DEPLOYED)
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def install(settings: Settings) -> None:
    """Leave the record on the host: the last operation of a run that went well."""
    ours = head()
    named = ours.commit[:12] or "of an unknown commit"
    changed = " with uncommitted changes" if ours.dirty else ""
    record(name=f"Record that {named}{changed} is live", ours=ours, settings=digest(settings))


@operation()
def record(ours: Head, settings: str) -> Generator[StringCommand, None, None]:
    """Write the record if another commit was live, or if this run has changed something on the host."""
    found = read(host.get_fact(Stack).deployed)
    if found is not None and found.head == ours and not _anything_changed():
        host.noop("the record is of this commit, and this run has changed nothing")
        return
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    written = Record(ours.commit, ours.dirty, settings, now, f"{getpass.getuser()}@{socket.gethostname()}")
    yield place({RECORD: File((json.dumps(asdict(written), indent=2) + "\n").encode(), mode=0o600)})


def _anything_changed() -> bool:
    """Whether an operation before this one has changed the host, or while the run is planned, whether one will."""
    metas = [data.operation_meta for data in host.state.ops[host].values()]
    if not host.state.is_executing:
        return any(meta.will_change for meta in metas)
    return any(meta.is_complete() and meta.did_change() for meta in metas)
