"""Which commit is live: what the host remembers of its runs, and the clones that it is compared with."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from voicestack import git as clone
from voicestack.audit.findings import Finding
from voicestack.audit.release import release
from voicestack.audit.runs import Run, read
from voicestack.git import Head, head

MADE = Run(
    "voice.py", "0" * 40, False, "2026-11-23T12:00:00Z", "ada@laptop", "done: 3 of 14 operations changed something"
)


def git(repository: Path, *words: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
    finished = subprocess.run(
        ["git", *identity, "-C", str(repository), *words], capture_output=True, text=True, check=True
    )
    return finished.stdout.strip()


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


def judged(live: Run | None, ours: Path, against: str = "") -> dict[tuple[str, str], str]:
    def key(each: Finding) -> tuple[str, str]:
        return each.severity, each.subject

    return {key(each): each.detail for each in release([live] if live else [], against, clone=ours)}


def test_the_live_commit_is_this_one(main: Path) -> None:
    now = head(main)
    assert judged(replace(MADE, commit=now.commit), main) == {
        ("ok", now.commit[:12]): "is live, and no other; deployed 2026-11-23T12:00:00Z by ada@laptop"
    }


def test_what_is_in_main_and_not_live_and_the_other_way_round(main: Path) -> None:
    live = replace(MADE, commit=git(main, "rev-parse", "HEAD~1"))
    (said,) = judged(live, main).items()
    assert said[0] == ("warn", "this clone")
    assert said[1].startswith("has what is not live: 1 commit: ")
    assert said[1].endswith(" two")
    live = replace(MADE, commit=git(main, "rev-parse", "HEAD"))
    git(main, "checkout", "-q", "HEAD~1")
    head.cache_clear()
    (said,) = judged(live, main).items()
    assert said[1].startswith("lacks what is live: 1 commit: ")


def test_two_clones_that_went_different_ways(main: Path, tmp_path: Path) -> None:
    """What is live is known to the other clone alone; nothing is copied from it."""
    other = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(main), str(other))
    live = replace(MADE, commit=commit(other, "hotfix"))
    commit(main, "three")
    assert list(judged(live, main)) == [("warn", "this clone")]
    assert "does not know what is live" in judged(live, main)[("warn", "this clone")]
    findings = release([live], str(other), clone=main)
    assert [each.subject for each in findings if each.severity == "warn"] == ["this clone", "this clone"]
    has, lacks = (each.detail for each in findings)
    assert has.startswith("has what is not live: 1 commit: ")
    assert has.endswith(" three")
    assert lacks.endswith(" hotfix")
    assert not clone.knows(main, live.commit)


def test_uncommitted_changes_count_where_they_are_deployed(main: Path) -> None:
    (main / "README.md").write_text("new")
    assert not head(main).dirty
    head.cache_clear()
    (main / "templates").mkdir()
    (main / "templates" / "new.j2").write_text("new")
    now = head(main)
    assert now.dirty
    found = judged(replace(MADE, commit=now.commit, dirty=True), main)
    assert found["ok", "this clone"] == "has changes that no commit has: they are compared as they are"
    assert "was deployed with changes that no commit has" in found["warn", now.commit[:12]]


def test_no_clone_no_record_no_commit(main: Path, tmp_path: Path) -> None:
    assert list(judged(None, main)) == [("warn", "the host")]
    assert "no git clone that can be read" in judged(MADE, tmp_path)["warn", "this clone"]
    assert "does not know what is live: an unknown" in judged(replace(MADE, commit=""), main)["warn", "this clone"]
    assert ("warn", str(tmp_path / "nowhere")) in judged(MADE, main, str(tmp_path / "nowhere"))


def test_a_run_that_failed_since_or_is_at_work_is_told(main: Path) -> None:
    live = replace(MADE, commit=head(main).commit)
    failed = replace(live, commit="1" * 40, until="2026-11-23T13:00:00Z", outcome="failed: Pull the images")
    (found,) = release([failed, live], "", clone=main)
    assert found.severity == "warn"
    assert found.detail == (
        "the last run, voice.py of 111111111111, ended 2026-11-23T13:00:00Z with: failed: Pull the images"
    )
    (found,) = release([live, live], "", at_work=True, clone=main)
    assert found.detail.startswith("a run is at work")
    assert [each.severity for each in release([failed], "", clone=main)] == ["warn", "warn"]


def test_a_rollback_since_is_told_and_what_it_left_is_compared_with_what_was_live(main: Path) -> None:
    live = replace(MADE, commit=head(main).commit)
    back = replace(live, what="rollback.py", until="2026-11-23T13:00:00Z", outcome="done: 1 of 1 operations changed")
    (found,) = release([back, back, live], "", in_use="6", clone=main)
    assert (found.severity, found.fix) == ("warn", "run deploys/voice.py: it goes forward again")
    assert found.detail.startswith("went back to release 6 2026-11-23T13:00:00Z by ada@laptop")
    # One that found its release in use, one that failed.
    nothing = replace(back, outcome="done: 0 of 1 operations changed something")
    assert [each.severity for each in release([nothing, nothing, live], "", clone=main)] == ["ok"]
    failed = replace(back, outcome="failed: Put an earlier release back and bring it up")
    (found,) = release([failed, live, live], "", clone=main)
    assert found.detail.startswith("the last run, rollback.py of ")


def test_the_locks_record_is_read() -> None:
    line = {"who": "ada", "from": "laptop", "what": "deploys/voice.py", "commit": "a" * 40 + "-dirty", "pid": 7}
    ended = {"since": "x", "until": "2026-11-23T12:00:00Z", "outcome": "done: 0 of 14 operations changed something"}
    (run,) = read([json.dumps({**line, **ended})])
    assert (run.what, run.commit, run.dirty, run.is_done) == ("voice.py", "a" * 40, True, True)
    assert run.since == "deployed 2026-11-23T12:00:00Z by ada@laptop"
    for commit in ("unknown", "--all", "a" * 39):
        assert read([json.dumps({**line, **ended, "commit": commit})])[0].commit == ""
    assert read(["", "{", "[]", "null", json.dumps(line)]) == []


def test_no_clone_has_no_commit(tmp_path: Path) -> None:
    assert head(tmp_path) == Head()
