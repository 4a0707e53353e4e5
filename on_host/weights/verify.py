"""Every byte of the models in place against what was recorded when it came: at the speed of the disk."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from on_host.weights.digest import Expected, digest_of
from on_host.weights.progress import Progress, say
from on_host.weights.store import PROVENANCE


@dataclass
class Verified:
    """What was read of one model: path -> sha256 of the files that are right, path -> problem of the others."""

    right: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)


class _Task(NamedTuple):
    name: str
    path: str
    size: int
    sha256: str


def deep(directory: Path, names: Iterable[str]) -> dict[str, Verified]:
    """Read every file of these models from the disk, several at a time, and compare with the provenance.

    A file that the disk cannot read any more is wrong, like one with a flipped byte.
    """
    tasks = [task for name in names for task in _tasks(directory, name)]
    tasks.sort(key=lambda task: task.size, reverse=True)
    progress = Progress(sum(task.size for task in tasks), "verify")
    results: dict[str, Verified] = {task.name: Verified() for task in tasks}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = pool.map(lambda task: _problem(directory, task, progress), tasks)
        for task, problem in zip(tasks, problems, strict=True):
            if problem is None:
                results[task.name].right[task.path] = task.sha256
            else:
                results[task.name].wrong[task.path] = problem
                say(f"{task.name}: {task.path} is damaged: {problem}")
    say(f"verify: {len(tasks)} files read, {progress.summary()}")
    return results


def _tasks(directory: Path, name: str) -> list[_Task]:
    records = json.loads((directory / name / PROVENANCE).read_text())["files"]
    return [_Task(name, path, record["size"], record["sha256"]) for path, record in records.items()]


def _problem(directory: Path, task: _Task, progress: Progress) -> str | None:
    try:
        return digest_of(directory / task.name / task.path, Expected(task.size, task.sha256), progress.add).mismatch()
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
