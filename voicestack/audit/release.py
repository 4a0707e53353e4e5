"""Which commit is live, against this clone and another one: what is only here, what is only there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from voicestack.audit.findings import DEPLOY, Finding, counted, or_ok
from voicestack.audit.redacted import redact
from voicestack.audit.runs import Run
from voicestack.git import OURS, Head, commits, head, knows

MOST_NAMED = 10
"""Commits that a line names."""


def release(
    runs: Sequence[Run], against: str, *, at_work: bool = False, in_use: str = "", clone: Path = OURS
) -> list[Finding]:
    """What the host remembers of its runs against the clones' commits.

    Args:
        runs: the last one first, then the last one that went through, then the last one of deploys/voice.py that
            did (the same, mostly).
        against: another clone, "" for none.
        at_work: whether a run is at work on the host.
        in_use: the number of the release in use.
        clone: this one.
    """
    found = []
    if at_work:
        found.append(_warn("the host", "a run is at work: what is compared may be half done", "wait, audit again"))
    if runs and not runs[0].is_done:
        said = f"the last run, {runs[0].what} of {_short(runs[0])}, ended {runs[0].until} with: "
        said += redact(runs[0].outcome)
        found.append(_warn("the host", said, DEPLOY))
    last = next((run for run in runs if run.is_done), None)
    if last is not None and last.went_back:
        said = f"went back to release {in_use} {last.until} by {last.by}: what is named below was live before"
        found.append(_warn("the host", said, f"{DEPLOY}: it goes forward again"))
    live = next((run for run in runs if run.is_done and run.what == "voice.py"), None)
    if live is None:
        return [*found, _warn("the host", "has no record of a run that went through", f"{DEPLOY}: it leaves one")]
    if live.dirty:
        said = f"was deployed with changes that no commit has; {live.since}"
        found.append(_warn(_short(live), said, f"commit them, then {DEPLOY}"))
    other = Path(against).resolve() if against else None
    found += _compared("this clone", clone, head(clone), live, [other] if other else [])
    if other:
        found += _compared(str(other), other, head(other), live, [clone])
    return or_ok(found, "release", _short(live), f"is live, and no other; {live.since}")


def _compared(title: str, clone: Path, ours: Head, live: Run, also: Sequence[Path]) -> list[Finding]:
    """One clone's commit and the live one."""
    if not ours.commit:
        return [_warn(title, "is no git clone that can be read: its commit cannot be compared with the live one", "")]
    found = []
    if ours.dirty:
        found.append(Finding("release", "ok", title, "has changes that no commit has: they are compared as they are"))
    if live.commit == ours.commit:
        return found
    if not live.commit or not knows(clone, live.commit, also):
        fix = "git fetch in it, or name a clone that has the commit with audit_against"
        return [*found, _warn(title, f"does not know what is live: {_short(live)}; {live.since}", fix)]
    here = commits(clone, live.commit, ours.commit, also)
    there = commits(clone, ours.commit, live.commit, also)
    if here:
        found.append(_warn(title, f"has what is not live: {_named(here)}", DEPLOY))
    if there:
        fix = "the next run from here would undo it: merge it, or go back on purpose"
        found.append(_warn(title, f"lacks what is live: {_named(there)}", fix))
    return found


def _named(lines: Sequence[str]) -> str:
    more = f"; and {len(lines) - MOST_NAMED} more" if len(lines) > MOST_NAMED else ""
    return f"{counted(len(lines), 'commit')}: {'; '.join(lines[:MOST_NAMED])}{more}"


def _short(run: Run) -> str:
    return run.commit[:12] or "an unknown commit"


def _warn(subject: str, detail: str, fix: str) -> Finding:
    return Finding("release", "warn", subject, detail, fix)
