"""Every byte of the models in place against what was recorded when it came: at the speed of the disk."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from on_host.weights.digest import Expected, digest_of
from on_host.weights.progress import Progress, say
from on_host.weights.store import PROVENANCE


@dataclass
class Verified:
    """What was read of one model: path -> sha256 of the files that are right, path -> problem of the others."""

    right: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)


def deep(directory: Path, names: Iterable[str]) -> dict[str, Verified]:
    """Read every file of these models from the disk, several at a time, and compare with the provenance.

    A file that the disk cannot read any more is wrong, like one with a flipped byte.
    """
    records = [
        (name, path, record)
        for name in names
        for path, record in json.loads((directory / name / PROVENANCE).read_text())["files"].items()
    ]
    records.sort(key=lambda each: each[2]["size"], reverse=True)
    progress = Progress(sum(record["size"] for *_, record in records), "verify")

    def problem(name: str, path: str, record: dict[str, Any]) -> str | None:
        expected = Expected(record["size"], record["sha256"])
        try:
            return digest_of(directory / name / path, expected, progress.add).mismatch()
        except OSError as error:
            return f"it cannot be read ({error.strerror})"

    results = {name: Verified() for name, *_ in records}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = pool.map(lambda each: problem(*each), records)
        for (name, path, record), found in zip(records, problems, strict=True):
            if found is None:
                results[name].right[path] = record["sha256"]
            else:
                results[name].wrong[path] = found
                say(f"{name}: {path} is damaged: {found}")
    say(f"verify: {len(records)} files read, {progress.summary()}")
    return results
