"""A clone of this repository, asked through git; read only."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from voicestack.paths import ROOT

OURS = ROOT
"""The clone that this run comes from."""

DEPLOYED = (
    *("config.py", "deploys", "voicestack", "on_host", "group_data", "inventories", "templates", "talk"),
    *("agent/Dockerfile", "agent/.dockerignore", "agent/requirements*.txt", "agent/voice_agent"),
)
"""What a deploy is made of: an edit elsewhere reaches no host."""


@dataclass(frozen=True)
class Head:
    """A clone's commit ("" where git does not say one), and whether what is deployed differs from it."""

    commit: str = ""
    dirty: bool = False


@cache
def head(clone: Path = OURS) -> Head:
    """The commit that is checked out, asked once a run: several hosts get the same."""
    commit = _git(clone, "rev-parse", "--verify", "HEAD")
    if commit is None:
        return Head()
    return Head(commit.strip(), dirty=bool(_git(clone, "status", "--porcelain", "--", *DEPLOYED)))


def knows(clone: Path, commit: str, also: Sequence[Path] = ()) -> bool:
    """Whether the commit is in one of the clones."""
    return _git(clone, "cat-file", "-e", f"{commit}^{{commit}}", also=also) is not None


def commits(clone: Path, since: str, until: str, also: Sequence[Path] = ()) -> list[str]:
    """The commits of `until` that `since` does not have, newest first, each as "HASH SUBJECT"; both must be known.

    Args:
        clone: whose git is asked.
        since: a commit.
        until: another one.
        also: other clones, whose commits count as known; nothing is copied from them.
    """
    said = _git(clone, "log", "--format=%h %s", f"{since}..{until}", "--", also=also)
    return (said or "").splitlines()


def _git(clone: Path, *words: str, also: Sequence[Path] = ()) -> str | None:
    """Git's answer; None when it has none: no clone, another owner's (git refuses), no git."""
    # No lock is taken for a refreshed index: the audit changes nothing here either.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    objects = ((each, _git(each, "rev-parse", "--git-path", "objects")) for each in also)
    if paths := [str((each / found.strip()).resolve()) for each, found in objects if found]:
        environment["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = os.pathsep.join(paths)
    try:
        finished = subprocess.run(
            ["git", "-C", str(clone), *words], env=environment, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return finished.stdout if finished.returncode == 0 else None
