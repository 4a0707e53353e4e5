"""Fetch models; runs on the target: `python -m deploys.models.fetch`, one line of JSON on standard input.

The line holds `directory`, `endpoint`, `token` (or null) and `models` (name -> catalog entry). It comes on
standard input because a token in an argument or in the environment can be read by other users.

The order saves the operator's time: the gates of all models first, then what every model is (kilobytes), then the
room on the disk, and only then the gigabytes.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import huggingface_hub

from deploys.models import architecture
from deploys.models.download import Downloads
from deploys.models.hub import Hub, RefusedError, RemoteFile, Source, selected
from deploys.models.progress import Progress, say, size
from deploys.models.store import DiskError, Expected, Staging, check_space, digest_of, held_by, only_one

TOOL = f"voice-stack-provisioning, huggingface_hub {huggingface_hub.__version__}"


@dataclass
class Job:
    """One model on its way."""

    name: str
    entry: dict[str, Any]
    source: Source
    staging: Staging
    files: dict[str, Expected] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """Bytes still to fetch."""
        return sum(self.staging.bytes_left(path, expected) for path, expected in self.files.items())


def main() -> int:
    """Read the request, fetch, and say what happened; 0 when every model is in place."""
    os.umask(0o022)
    request = json.loads(sys.stdin.readline())
    directory = Path(request["directory"])
    try:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        with only_one(directory):
            fetch(directory, Hub(request["endpoint"], request["token"]), request["models"])
    except (RefusedError, DiskError) as error:
        return _fail(str(error))
    except OSError as error:
        said = "is full" if error.errno == errno.ENOSPC else f"says: {error}"
        return _fail(f"The disk of {directory} {said}. The models in place are untouched; a new run goes on from here.")
    return 0


def fetch(directory: Path, hub: Hub, models: dict[str, dict[str, Any]]) -> None:
    """Bring every model into place.

    Raises:
        RefusedError: by the Hub, or because a repository is not the model that the catalog means.
        DiskError: no room, or another fetch is at work.
    """
    jobs = [_job(directory, name, entry) for name, entry in models.items()]
    _all(jobs, lambda job: hub.check_gate(job.source))
    _all(jobs, lambda job: _inspect(hub, job))
    for job in jobs:
        _adopt(job)
    progress = Progress(sum(job.left for job in jobs))
    check_space(directory, sum(job.left for job in jobs), sum(len(job.files) for job in jobs))
    for job in jobs:
        _fetch_one(hub, job, progress)
    say(f"{progress.summary()}; {len(jobs)} models in place in {directory}.")


def _job(directory: Path, name: str, entry: dict[str, Any]) -> Job:
    source = Source(entry["repo"], entry["revision"])
    return Job(name, entry, source, Staging(directory, name, source.revision))


def _all(jobs: Iterable[Job], step: Callable[[Job], None]) -> None:
    """Take every job through `step`; what is refused is reported together."""
    refusals = []
    for job in jobs:
        try:
            step(job)
        except RefusedError as refusal:
            refusals.append(f"{job.name}: {refusal}")
    if refusals:
        raise RefusedError("\n".join(refusals))


def _inspect(hub: Hub, job: Job) -> None:
    """Read the listing and kilobytes of the model, and decide whether it is the one we mean."""
    listing = hub.listing(job.source)
    files = selected(listing, job.entry["include"], job.entry["exclude"])
    kind = job.entry["architecture"]
    evidence = architecture.Evidence(
        listing={path: file.size for path, file in listing.items()},
        wanted=frozenset(files),
        documents=_documents(hub, job.source, kind, listing),
        heads={path: _head(hub, job.source, path) for path in architecture.heads_needed(kind) if path in listing},
    )
    verdict = architecture.judge(kind, evidence)
    if not verdict.ok:
        raise RefusedError(verdict.message(str(job.source)))
    job.files = {path: _expected(job, file) for path, file in files.items()}
    _check_pins(job)
    say(
        f"{job.name}: {job.source} is {kind}; {len(files)} files, {size(sum(f.size for f in files.values()))}. "
        f"Licence: {job.entry['licence']}"
    )


def _documents(hub: Hub, source: Source, kind: str, listing: dict[str, RemoteFile]) -> dict[str, str]:
    limit = architecture.MAX_DOCUMENT
    paths = [path for path in architecture.documents_needed(kind) if path in listing]
    return {path: hub.read(source, path, 0, limit).decode("utf-8", errors="replace") for path in paths}


def _head(hub: Hub, source: Source, path: str) -> bytes:
    """The header of a binary file, in two reads: how long it is, and the rest of it."""
    first = hub.read(source, path, 0, architecture.FIRST_BYTES)
    rest = architecture.head_length(path, first) - len(first)
    return first + hub.read(source, path, len(first), rest) if rest > 0 else first


def _expected(job: Job, file: RemoteFile) -> Expected:
    """What the Hub says of a file, and the catalog's digest where the Hub has none."""
    pin = job.entry["files"].get(file.path) or {}
    return Expected(file.size, file.sha256 or pin.get("sha256"), file.git_sha1)


def _check_pins(job: Job) -> None:
    """The catalog's pins against the Hub's listing, before any byte."""
    for path, pin in job.entry["files"].items():
        expected = job.files.get(path)
        if expected is None:
            raise RefusedError(f"{job.source} has no file {path}, which the catalog pins (or does not include).")
        for key, said in (("sha256", expected.sha256), ("size", expected.size)):
            if pin.get(key) not in (None, said):
                raise RefusedError(f"{job.source}: {path} has {key} {said}, the catalog pins {pin[key]}.")


def _adopt(job: Job) -> None:
    """Keep what the model in place has right already."""
    adopted = [path for path, expected in job.files.items() if job.staging.adopt(path, expected)]
    if adopted:
        say(f"{job.name}: {len(adopted)} of {len(job.files)} files are there already, unchanged.")


def _fetch_one(hub: Hub, job: Job, progress: Progress) -> None:
    """The bytes of one model, then the rename."""
    progress.model(job.name, job.left)
    records = {}
    downloads = Downloads(hub, job.source, job.staging, progress)
    for path, expected in sorted(job.files.items(), key=lambda item: item[1].size):
        digest = _known_digest(job, path, expected) or downloads.fetch(path, expected)
        records[path] = {"size": expected.size, "sha256": digest}
    aside = job.staging.install(_provenance(job, records))
    say(f"{job.name}: in place, {len(records)} files verified.")
    if aside is not None:
        say(f"{job.name}: what was there before is kept in {aside} ({size(held_by(aside))} that nothing else uses).")


def _known_digest(job: Job, path: str, expected: Expected) -> str | None:
    """The sha256 of a file that is staged already. Large ones were verified before they got their name."""
    if not job.staging.whole(path, expected):
        return None
    return expected.sha256 or digest_of(job.staging.path / path, expected).sha256


def _provenance(job: Job, records: dict[str, dict[str, Any]]) -> dict[str, Any]:
    kept = {key: job.entry[key] for key in ("repo", "revision", "architecture", "include", "exclude")}
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return {**kept, "files": records, "fetched_at": now, "tool": TOOL}


def _fail(message: str) -> int:
    for line in message.splitlines():
        print(f"weights: {line}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
