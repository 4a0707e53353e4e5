"""Bring the models into place; runs on the target: `python -m on_host.weights.fetch`, one line of JSON on stdin.

It comes on standard input because a token in an argument or in the environment can be read by other users. Its keys:

    directory   the weights' directory
    endpoint    the Hub's address
    source      a directory or tarball on this host instead of the Hub, or ""
    token       for the Hub, or null
    models      name -> catalog entry, of the models that must be fetched
    verify      name -> catalog entry, of the models in place that shall be read whole
    restore     name -> directory below .replaced that holds what the catalog wants
    aside       names in the directory that the catalog does not know
    expired     directories below .replaced whose time is over
    tool        what this program calls itself in the provenance files

The order saves the operator's time: the gates of all models first, then what every model is (kilobytes), then the
room on the disk, and only then the gigabytes.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from on_host.weights import verify
from on_host.weights.download import Downloads
from on_host.weights.inspection import Job, inspect
from on_host.weights.local import Local
from on_host.weights.origin import Origin, RefusedError, Source, UnreachableError
from on_host.weights.progress import Progress, say, size
from on_host.weights.store import (
    REPLACED,
    DiskError,
    Staging,
    check_space,
    delete,
    held_by,
    only_one,
    set_aside,
    swap_in,
)

TRIES = 3
"""How often a question is asked when the line fails."""

PATIENCE_S = 2.0
"""Before the second try; doubled each time."""

DISK_ERRORS = {
    errno.ENOSPC: "is full",
    errno.EDQUOT: "is full (quota)",
    errno.EROFS: "is mounted read-only",
    errno.EIO: "cannot be read or written (I/O error; see dmesg)",
}


def main() -> int:
    """Read the request, do it, and say what happened; 0 when every model is in place."""
    os.umask(0o022)
    request = json.loads(sys.stdin.readline())
    directory = Path(request["directory"])
    try:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        with only_one(directory):
            converge(directory, request)
    except (RefusedError, DiskError) as error:
        return _fail(str(error))
    except OSError as error:
        said = DISK_ERRORS.get(error.errno or 0, f"says: {error}")
        return _fail(f"The disk of {directory} {said}. The models in place are untouched; a new run goes on from here.")
    return 0


def converge(directory: Path, request: Mapping[str, Any]) -> None:
    """Do what the request says.

    Raises:
        RefusedError: by the origin, or because a repository is not the model that the catalog means.
        DiskError: no room.
    """
    verified = verify.deep(directory, request["verify"]) if request["verify"] else {}
    damaged = {name: request["verify"][name] for name, result in verified.items() if result.wrong}
    jobs = [
        Job(
            name,
            entry,
            _origin(request, name, entry),
            Staging(directory, name, entry["revision"]),
            verified.get(name, verify.Verified()),
            request["tool"],
        )
        for name, entry in {**request["models"], **damaged}.items()
    ]
    _all(jobs, lambda job: job.origin.check_access())
    _all(jobs, inspect)
    for name in request["expired"]:
        freed = delete(directory / REPLACED / name)
        say(f"{name}: deleted, its time was over (weights_keep_replaced_days); {size(freed)} are free again.")
    for name, replaced in request["restore"].items():
        _say_aside(name, swap_in(directory, name, directory / REPLACED / replaced))
        say(f"{name}: back in place from {directory / REPLACED / replaced}, nothing was fetched.")
    for name in request["aside"]:
        say(f"{name} is not in the catalog.")
        _say_aside(name, set_aside(directory, name))
    if jobs:
        _fetch(directory, jobs)


def _origin(request: Mapping[str, Any], name: str, entry: Mapping[str, Any]) -> Origin:
    source = Source(entry["repo"], entry["revision"])
    if request["source"]:
        return Local(Path(request["source"]), name, source)
    # Only here: without a Hub there is no need for its client, nor for the package index that it comes from.
    from on_host.weights.hub import Hub  # noqa: PLC0415

    return Hub(request["endpoint"], request["token"], source)


def _all(jobs: Iterable[Job], step: Callable[[Job], None]) -> None:
    """Take every job through `step`; what is refused is reported together, a dead line once."""
    refusals = []
    for job in jobs:
        try:
            _patiently(step, job)
        except RefusedError as refusal:
            refusals.append(f"{job.name}: {refusal}")
            if isinstance(refusal, UnreachableError):
                break
    if refusals:
        raise RefusedError("\n".join(refusals))


def _patiently(step: Callable[[Job], None], job: Job) -> None:
    """Do `step`, again where the line failed."""
    for failures in range(TRIES - 1):
        try:
            return step(job)
        except UnreachableError as error:
            time.sleep(max(error.retry_after_s, PATIENCE_S * 2**failures))
    return step(job)


def _fetch(directory: Path, jobs: list[Job]) -> None:
    """The bytes of all models, as far as they are not there."""
    for job in jobs:
        _adopt(job)
    progress = Progress(sum(job.left for job in jobs))
    check_space(directory, sum(job.left for job in jobs), sum(len(job.files) for job in jobs))
    for job in jobs:
        _fetch_one(job, progress)
    say(f"Fetched {progress.summary()}; {len(jobs)} models in place in {directory}.")


def _adopt(job: Job) -> None:
    """Keep what the model in place has right already; reading gigabytes of it takes time, and says so."""
    known = job.verified.right
    candidates = {
        path: expected
        for path, expected in job.files.items()
        if path not in job.verified.wrong and job.staging.may_adopt(path, expected)
    }
    unread = sum(expected.size for path, expected in candidates.items() if path not in known)
    reading = Progress(unread, f"{job.name}: reading what is there already")
    adopted = [
        path for path, expected in candidates.items() if job.staging.adopt(path, expected, known.get(path), reading.add)
    ]
    if adopted:
        say(f"{job.name}: {len(adopted)} of {len(job.files)} files are there already, unchanged.")


def _fetch_one(job: Job, progress: Progress) -> None:
    """The bytes of one model, then the swap."""
    progress.model(job.name, job.left)
    digests = {path: job.staging.digest(path, expected) for path, expected in job.files.items()}
    missing = {path: expected for path, expected in job.files.items() if digests[path] is None}
    fetched = Downloads(job.origin, job.staging, progress).fetch(missing)
    records = {
        path: {"size": expected.size, "sha256": digests[path] or fetched[path]} for path, expected in job.files.items()
    }
    aside = job.staging.install(_provenance(job, records))
    say(f"{job.name}: in place, {len(records)} files verified.")
    _say_aside(job.name, aside)


def _say_aside(name: str, aside: Path | None) -> None:
    if aside is not None:
        held = size(held_by(aside))
        say(f"{name}: what was there before is kept in {aside} and holds {held} (weights_keep_replaced_days).")


def _provenance(job: Job, records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    kept = {key: job.entry[key] for key in ("repo", "revision", "architecture", "include", "exclude")}
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return {**kept, "files": records, "fetched_at": now, "fetched_from": job.origin.place, "tool": job.tool}


def _fail(message: str) -> int:
    for line in message.splitlines():
        print(f"weights: {line}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
