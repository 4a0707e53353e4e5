"""Which commit is live, against this clone and another one: what is only here, what is only there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deploys.doctor.findings import DEPLOY, Finding, counted, or_ok
from deploys.release.clone import OURS, Head, commits, head, knows
from deploys.release.record import Record

MOST_NAMED = 10
"""Commits that a line names."""


def release(record: Record | None, settings: str, against: str, clone: Path = OURS) -> list[Finding]:
    """The record on the host against the clones' commits.

    Args:
        record: the host's; None when it has none that can be read.
        settings: the digest of this run's (deploys/release/record.py).
        against: another clone, "" for none.
        clone: this one.
    """
    if record is None:
        return [_warn("the host", "has no record of what was deployed", f"{DEPLOY}: it leaves one")]
    other = Path(against).resolve() if against else None
    found = _about(record, settings)
    found += _compared("this clone", clone, head(clone), record, [other] if other else [])
    if other:
        found += _compared(str(other), other, head(other), record, [clone])
    return or_ok(
        found, "release", record.commit[:12] or "an unknown commit", f"is live, and no other; {_since(record)}"
    )


def _about(record: Record, settings: str) -> list[Finding]:
    """What the record says by itself."""
    found = []
    if record.dirty:
        said = f"was deployed with changes that no commit has; {_since(record)}"
        found.append(_warn(record.commit[:12], said, f"commit them, then {DEPLOY}"))
    if record.settings != settings:
        said = f"its last change was made with other settings than this run's (--data, inventory); {_since(record)}"
        found.append(Finding("release", "ok", record.commit[:12], said))
    return found


def _compared(title: str, clone: Path, ours: Head, record: Record, also: Sequence[Path]) -> list[Finding]:
    """One clone's commit and the live one."""
    if not ours.commit:
        return [_warn(title, "is no git clone that can be read: its commit cannot be compared with the live one", "")]
    found = []
    if ours.dirty:
        found.append(Finding("release", "ok", title, "has changes that no commit has: they are compared as they are"))
    if record.commit == ours.commit:
        return found
    if not record.commit or not knows(clone, record.commit, also):
        live = record.commit[:12] or "of an unknown commit"
        fix = "git fetch in it, or name a clone that has the commit with audit_against"
        return [*found, _warn(title, f"does not know what is live: {live}; {_since(record)}", fix)]
    here = commits(clone, record.commit, ours.commit, also)
    there = commits(clone, ours.commit, record.commit, also)
    if here:
        found.append(_warn(title, f"has what is not live: {_named(here)}", DEPLOY))
    if there:
        fix = "the next run from here would undo it: merge it, or go back on purpose"
        found.append(_warn(title, f"lacks what is live: {_named(there)}", fix))
    return found


def _named(lines: Sequence[str]) -> str:
    more = f"; and {len(lines) - MOST_NAMED} more" if len(lines) > MOST_NAMED else ""
    return f"{counted(len(lines), 'commit')}: {'; '.join(lines[:MOST_NAMED])}{more}"


def _since(record: Record) -> str:
    return f"deployed {record.at} by {record.by}"


def _warn(subject: str, detail: str, fix: str) -> Finding:
    return Finding("release", "warn", subject, detail, fix)
