"""Is what the origin offers the model that the catalog means? Asked before any large file is fetched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from on_host.weights import architecture
from on_host.weights.digest import Expected
from on_host.weights.origin import Origin, RefusedError, read
from on_host.weights.progress import say, size
from on_host.weights.store import PROVENANCE, VERIFIED, Staging
from on_host.weights.verify import Verified


@dataclass
class Job:
    """One model on its way.

    Attributes:
        entry: of the catalog.
        verified: what a deep verification read of it a moment ago.
        tool: what this program calls itself.
        files: what is to come, once it was inspected.
    """

    name: str
    entry: Mapping[str, Any]
    origin: Origin
    staging: Staging
    verified: Verified
    tool: str
    files: dict[str, Expected] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """Bytes still to fetch."""
        return sum(self.staging.bytes_left(path, expected) for path, expected in self.files.items())


def inspect(job: Job) -> None:
    """Read the listing and kilobytes of the model, decide whether it is the one we mean, and note its files.

    Raises:
        RefusedError: it is not, or nothing says what a file must be, or the catalog's pins say otherwise.
    """
    listing = job.origin.listing()
    _check_paths(job.origin, listing)
    files = {path: file for path, file in listing.items() if _is_selected(path, job.entry)}
    kind = job.entry["architecture"]
    evidence = architecture.Evidence(
        listing={path: file.size for path, file in listing.items()},
        wanted=frozenset(files),
        documents=_documents(job.origin, kind, listing),
        heads={path: _head(job.origin, path) for path in listing if path == architecture.HEADS[kind]},
    )
    verdict = architecture.judge(kind, evidence)
    if not verdict.ok:
        raise RefusedError(verdict.message(str(job.origin.source)))
    for pattern in job.entry["include"]:
        if not any(fnmatchcase(path, pattern) for path in listing):
            raise RefusedError(f"No file matches {pattern!r}; there are: {', '.join(sorted(listing))}")
    job.files = {path: _expected(job, path, file) for path, file in files.items()}
    _check_pins(job)
    say(
        f"{job.name}: {job.origin.source} is {kind}; {len(files)} files, {size(sum(f.size for f in files.values()))}. "
        f"Licence: {job.entry['licence']}"
    )


def _check_paths(origin: Origin, paths: Iterable[str]) -> None:
    """A listing names files below the model's directory, whoever wrote it."""
    for path in paths:
        if path.startswith("/") or ".." in path.split("/") or "\0" in path:
            raise RefusedError(f"{origin.place} lists a file named {path!r}, outside of the model's directory.")
        if path in (PROVENANCE, VERIFIED) or path.endswith((".part", ".part.marks")):
            raise RefusedError(f"{origin.place} lists a file named {path!r}, a name that this tool needs itself.")


def _is_selected(path: str, entry: Mapping[str, Any]) -> bool:
    """Whether the catalog's patterns choose it (`*` crosses `/`, as on the Hub)."""
    included, excluded = (any(fnmatchcase(path, each) for each in entry[key]) for key in ("include", "exclude"))
    return included and not excluded


def _documents(origin: Origin, kind: str, listing: Iterable[str]) -> dict[str, str]:
    limit = architecture.MAX_DOCUMENT
    paths = [path for path in architecture.DOCUMENTS[kind] if path in listing]
    return {path: read(origin, path, 0, limit).decode("utf-8", errors="replace") for path in paths}


def _head(origin: Origin, path: str) -> bytes:
    """The header of a binary file, in two reads: how long it is, and the rest of it."""
    first = read(origin, path, 0, architecture.FIRST_BYTES)
    rest = architecture.head_length(path, first) - len(first)
    return first + read(origin, path, len(first), rest) if rest > 0 else first


def _expected(job: Job, path: str, file: Expected) -> Expected:
    """What the origin says of a file, and the catalog's digest where the origin has none."""
    pin = job.entry["files"].get(path) or {}
    expected = replace(file, sha256=file.sha256 or pin.get("sha256"))
    if expected.sha256 is None and expected.git_sha1 is None:
        raise RefusedError(
            f"Nothing says what {path} in {job.origin.place} must be. Copy the model with its .provenance.json "
            f"(or, after hf download --local-dir, with its .cache), or pin the file's sha256 in weights_catalog."
        )
    return expected


def _check_pins(job: Job) -> None:
    """The catalog's pins against the origin's listing, before any byte."""
    for path, pin in job.entry["files"].items():
        expected = job.files.get(path)
        if expected is None:
            raise RefusedError(f"{job.origin.source} has no file {path}, which the catalog pins (or does not include).")
        for key, said in (("sha256", expected.sha256), ("size", expected.size)):
            if pin.get(key) is not None and said is not None and pin[key] != said:
                raise RefusedError(f"{job.origin.source}: {path} has {key} {said}, the catalog pins {pin[key]}.")
