"""Which commit is live, against this clone and another one: what is only here, what is only there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from voicestack.audit.facts import HostState, Run
from voicestack.audit.findings import DEPLOY, Area, Finding, counted
from voicestack.audit.redacted import redact
from voicestack.git import OURS, commits, head, knows

MOST_NAMED = 10
"""Commits that a line names."""


def release(state: HostState, against: str, clone: Path = OURS) -> list[Finding]:
    """What the host remembers of its runs, against the commits of this clone and of the one `against`, if not ""."""
    area = Area("release")
    if state.at_work:
        area.warn("the host", "a run is at work: what is compared may be half done", "wait, audit again")
    last, done = next(iter(state.runs), None), [run for run in state.runs if run.is_done]
    if last and not last.is_done:
        said = f"the last run, {last.what} of {_short(last)}, ended {last.until} with: {redact(last.outcome)}"
        area.warn("the host", said, DEPLOY)
    if done and done[0].went_back:
        back = f"went back to release {state.release} {done[0].until} by {done[0].by}"
        area.warn("the host", f"{back}: what is named below was live before", f"{DEPLOY}: it goes forward again")
    live = next((run for run in done if run.what == "voice.py"), None)
    if live is None:
        area.warn("the host", "has no record of a run that went through", f"{DEPLOY}: it leaves one")
        return area.findings
    if live.dirty:
        said = f"was deployed with changes that no commit has; {live.since}"
        area.warn(_short(live), said, f"commit them, then {DEPLOY}")
    other = [Path(against).resolve()] if against else []
    _compare(area, "this clone", clone, live, other)
    for each in other:
        _compare(area, str(each), each, live, [clone])
    return area.or_ok(_short(live), f"is live, and no other; {live.since}")


def _compare(area: Area, title: str, clone: Path, live: Run, also: Sequence[Path]) -> None:
    """One clone's commit and the live one."""
    ours = head(clone)
    if not ours.commit:
        area.warn(title, "is no git clone that can be read: its commit cannot be compared with the live one")
        return
    if ours.dirty:
        area.ok(title, "has changes that no commit has: they are compared as they are")
    if live.commit == ours.commit:
        return
    if not live.commit or not knows(clone, live.commit, also):
        fix = "git fetch in it, or name a clone that has the commit with audit_against"
        area.warn(title, f"does not know what is live: {_short(live)}; {live.since}", fix)
        return
    if here := commits(clone, live.commit, ours.commit, also):
        area.warn(title, f"has what is not live: {_named(here)}", DEPLOY)
    if there := commits(clone, ours.commit, live.commit, also):
        fix = "the next run from here would undo it: merge it, or go back on purpose"
        area.warn(title, f"lacks what is live: {_named(there)}", fix)


def _named(lines: Sequence[str]) -> str:
    more = f"; and {len(lines) - MOST_NAMED} more" if len(lines) > MOST_NAMED else ""
    return f"{counted(len(lines), 'commit')}: {'; '.join(lines[:MOST_NAMED])}{more}"


def _short(run: Run) -> str:
    return run.commit[:12] or "an unknown commit"
