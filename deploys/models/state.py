"""What is on a host's disk, compared with what the catalog wants. Pure.

A model counts as in place when its provenance file names the same repository, revision, architecture and
file selection, and exactly the files that it lists are there in their sizes. Nothing is hashed here: that
would read gigabytes on every run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple, TypedDict, cast

from deploys.models.catalog import Catalog, Model
from deploys.models.store import PROVENANCE


class FileRecord(TypedDict):
    """One verified file; `size` in bytes."""

    size: int
    sha256: str


class Provenance(TypedDict):
    """Where a model directory came from, written beside its files once all of them were verified."""

    repo: str
    revision: str
    architecture: str
    include: list[str]
    exclude: list[str]
    files: dict[str, FileRecord]
    fetched_at: str
    tool: str


class OnDisk(TypedDict):
    """One model directory: its provenance, if it has one that can be read, and path -> size of every file."""

    provenance: Provenance | None
    files: dict[str, int]


class Pending(NamedTuple):
    """A model that is not in place, and why in words."""

    name: str
    reason: str


def read_provenance(text: str) -> Provenance | None:
    """A provenance file's content, or None if it is not one: a torn file is no proof."""
    try:
        value = json.loads(text)
        for record in value["files"].values():
            if type(record["size"]) is not int or not isinstance(record["sha256"], str):
                return None
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return None
    return cast(Provenance, value)


def pending(catalog: Catalog, state: Mapping[str, OnDisk]) -> list[Pending]:
    """The catalog's models that must be fetched, in the catalog's order."""
    reasons = {name: why_not_in_place(model, state.get(name)) for name, model in catalog.items()}
    return [Pending(name, reason) for name, reason in reasons.items() if reason]


def why_not_in_place(model: Model, found: OnDisk | None) -> str | None:
    """Why `found` is not `model`, or None if it is."""
    if found is None:
        return "not there"
    provenance = found["provenance"]
    if provenance is None:
        return f"{len(found['files'])} files of unknown origin (no readable {PROVENANCE})"
    return _identity_differs(model, provenance) or _files_differ(model, provenance, found["files"])


def _identity_differs(model: Model, provenance: Provenance) -> str | None:
    """The first field in which catalog and provenance disagree."""
    for field in ("repo", "revision", "architecture", "include", "exclude"):
        wanted = getattr(model, field)
        wanted = list(wanted) if isinstance(wanted, tuple) else wanted
        recorded = provenance.get(field)
        if recorded != wanted:
            return f"{field} is {recorded}, the catalog says {wanted}"
    return None


def _files_differ(model: Model, provenance: Provenance, sizes: Mapping[str, int]) -> str | None:
    """The first file that is missing, too much, of another size, or pinned to another digest."""
    recorded = provenance["files"]
    for path in sorted(recorded.keys() | sizes.keys()):
        if path not in sizes:
            return f"{path} is missing"
        if path not in recorded:
            return f"{path} does not belong there"
        if sizes[path] != recorded[path]["size"]:
            return f"{path} has {sizes[path]} bytes, fetched were {recorded[path]['size']}"
    for path, pin in model.files.items():
        record = recorded.get(path)
        if record is None or (pin.sha256 or record["sha256"]) != record["sha256"]:
            return f"{path} is not the file that the catalog pins"
    return None
