"""Which commit is live: the record on the host, and the clones that it is compared with."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from deploys.doctor.findings import Finding
from deploys.doctor.release import release
from deploys.release import clone, record
from deploys.release.clone import Head, head
from deploys.release.record import Record, digest, read
from deploys.settings import Settings, parse

MADE = Record("0" * 40, False, "s", "2026-11-23T12:00:00+00:00", "ada@laptop")


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


def judged(live: Record | None, ours: Path, against: str = "") -> dict[tuple[str, str], str]:
    def key(each: Finding) -> tuple[str, str]:
        return each.severity, each.subject

    return {key(each): each.detail for each in release(live, "s", against, ours)}


def test_the_live_commit_is_this_one(main: Path) -> None:
    now = head(main)
    assert judged(replace(MADE, commit=now.commit), main) == {
        ("ok", now.commit[:12]): "is live, and no other; deployed 2026-11-23T12:00:00+00:00 by ada@laptop"
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
    findings = release(live, "s", str(other), main)
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
    assert "does not know what is live: of an unknown" in judged(replace(MADE, commit=""), main)["warn", "this clone"]
    assert ("warn", str(tmp_path / "nowhere")) in judged(MADE, main, str(tmp_path / "nowhere"))


def test_the_record_is_read_as_it_was_written_and_nothing_else_is() -> None:
    assert read(json.dumps(asdict(MADE))) == MADE
    for torn in ("", "{", "[]", "null", '{"commit": 1}', '{"commit": "--all"}', '{"colour": "red"}'):
        assert read(torn) is None


def test_settings_that_leave_nothing_on_a_host_are_not_in_the_digest(
    settings: Settings, data: dict[str, object]
) -> None:
    quiet = {**data, "audit_strict": True, "gate_rotation": True, "weights_verify": "deep", "preflight_clock_skew_s": 1}
    assert digest(parse(quiet)) == digest(settings)
    assert digest(parse({**data, "voxtral_voice": "de_male"})) != digest(settings)


def test_head_is_no_host(tmp_path: Path) -> None:
    assert head(tmp_path) == Head()
    assert record.RECORD == "/opt/voice/.deployed.json"
