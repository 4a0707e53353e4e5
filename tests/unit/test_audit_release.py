"""Which commit is live: what the host remembers of its runs, and the clones that it is compared with."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from voicestack.audit.facts import HostState, Run, read_run
from voicestack.audit.release import release
from voicestack.git import head, knows

MADE = Run("voice.py", "", False, "2026-11-23T12:00:00Z", "ada@laptop", "done: 3 of 14 operations changed something")


def git(repository: Path, *words: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
    return subprocess.check_output(["git", *identity, "-C", str(repository), *words], text=True).strip()


def commit(repository: Path, subject: str) -> str:
    (repository / "config.py").write_text(subject)
    git(repository, "add", "config.py")
    git(repository, "commit", "-qm", subject)
    return git(repository, "rev-parse", "HEAD")


@pytest.fixture(autouse=True)
def _asked_anew() -> None:
    head.cache_clear()


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """A clone with two commits."""
    repository = tmp_path / "main"
    repository.mkdir()
    git(repository, "init", "-q")
    commit(repository, "one")
    commit(repository, "two")
    return repository


def found(clone: Path, *runs: Run, against: str = "", **more: Any) -> list[tuple[str, str, str]]:
    """Severity, subject and detail of what is said of a host with these runs, the last one first."""
    said = release(HostState(runs=runs, **more), against, clone)
    return [(each.severity, each.subject, each.detail) for each in said]


def test_the_live_commit_is_this_one(main: Path) -> None:
    now = head(main)
    assert found(main, replace(MADE, commit=now.commit)) == [
        ("ok", now.commit[:12], "is live, and no other; deployed 2026-11-23T12:00:00Z by ada@laptop")
    ]


def test_what_is_in_main_and_not_live_and_the_other_way_round(main: Path) -> None:
    ((severity, subject, said),) = found(main, replace(MADE, commit=git(main, "rev-parse", "HEAD~1")))
    assert (severity, subject) == ("warn", "this clone")
    assert re.fullmatch("has what is not live: 1 commit: [0-9a-f]+ two", said)
    live = replace(MADE, commit=git(main, "rev-parse", "HEAD"))
    git(main, "checkout", "-q", "HEAD~1")
    head.cache_clear()
    ((_, _, said),) = found(main, live)
    assert said.startswith("lacks what is live: 1 commit: ")


def test_two_clones_that_went_different_ways(main: Path, tmp_path: Path) -> None:
    """What is live is known to the other clone alone; nothing is copied from it."""
    other = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(main), str(other))
    live = replace(MADE, commit=commit(other, "hotfix"))
    commit(main, "three")
    ((severity, subject, said),) = found(main, live)
    assert (severity, subject) == ("warn", "this clone")
    assert said.startswith("does not know what is live: ")
    (*one, has), (*two, lacks) = found(main, live, against=str(other))
    assert one == two == ["warn", "this clone"]
    assert re.fullmatch("has what is not live: 1 commit: [0-9a-f]+ three", has)
    assert re.fullmatch("lacks what is live: 1 commit: [0-9a-f]+ hotfix", lacks)
    assert not knows(main, live.commit)
    head.cache_clear()
    the_other_way = found(main, replace(MADE, commit=head(main).commit), against=str(other))
    assert [each[1] for each in the_other_way] == [str(other), str(other)]


def test_uncommitted_changes_count_where_they_are_deployed(main: Path) -> None:
    (main / "README.md").write_text("new")
    assert not head(main).dirty
    head.cache_clear()
    (main / "templates").mkdir()
    (main / "templates" / "new.j2").write_text("new")
    now = head(main)
    assert now.dirty
    said = found(main, replace(MADE, commit=now.commit, dirty=True))
    assert ("ok", "this clone", "has changes that no commit has: they are compared as they are") in said
    assert ("warn", now.commit[:12], f"was deployed with changes that no commit has; {MADE.since}") in said


def test_no_clone_no_record_no_commit(main: Path, tmp_path: Path) -> None:
    assert [each[:2] for each in found(main)] == [("warn", "the host")]
    (nowhere,) = found(tmp_path, MADE)
    assert nowhere[2].startswith("is no git clone that can be read")
    unknown, elsewhere = found(main, MADE, against=str(tmp_path / "nowhere"))
    assert unknown == ("warn", "this clone", f"does not know what is live: an unknown commit; {MADE.since}")
    assert elsewhere[:2] == ("warn", str(tmp_path / "nowhere"))


def test_a_run_that_failed_since_or_is_at_work_is_told(main: Path) -> None:
    live = replace(MADE, commit=head(main).commit)
    failed = replace(live, commit="1" * 40, until="2026-11-23T13:00:00Z", outcome="failed: Pull the images")
    said = "the last run, voice.py of 111111111111, ended 2026-11-23T13:00:00Z with: failed: Pull the images"
    assert found(main, failed, live) == [("warn", "the host", said)]
    assert [each[0] for each in found(main, failed)] == ["warn", "warn"]
    ((severity, _, said),) = found(main, live, at_work=True)
    assert severity == "warn"
    assert said.startswith("a run is at work")


def test_a_rollback_since_is_told_and_what_it_left_is_compared_with_what_was_live(main: Path) -> None:
    live = replace(MADE, commit=head(main).commit)
    back = replace(live, what="rollback.py", until="2026-11-23T13:00:00Z", outcome="done: 1 of 1 operations changed")
    said = "went back to release 6 2026-11-23T13:00:00Z by ada@laptop: what is named below was live before"
    assert found(main, back, live, release="6") == [("warn", "the host", said)]
    # One that found its release in use, one that failed.
    assert [each[0] for each in found(main, replace(back, outcome="done: 0 of 1 operations"), live)] == ["ok"]
    ((_, _, said),) = found(main, replace(back, outcome="failed: Put an earlier release back and bring it up"), live)
    assert said.startswith("the last run, rollback.py of ")


def test_the_locks_record_is_read() -> None:
    line = {"who": "ada", "from": "laptop", "what": "deploys/voice.py", "commit": "a" * 40 + "-dirty", "pid": 7}
    ended = {"since": "x", "until": "2026-11-23T12:00:00Z", "outcome": MADE.outcome}
    assert read_run(json.dumps({**line, **ended}).encode()) == replace(MADE, commit="a" * 40, dirty=True)
    for commit in ("unknown", "--all", "a" * 39):
        assert read_run(json.dumps({**line, **ended, "commit": commit}).encode()) == MADE
    for torn in (b"", b"{", b"\xff", b"[]", b"null", json.dumps(line).encode()):
        assert read_run(torn) is None
