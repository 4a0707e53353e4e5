"""What is on a host's disk, compared with what the catalog wants: the plan of a run. Pure.

A model counts as in place when its provenance file names the same repository, revision, architecture and
file selection, and exactly the files that it lists are there in their sizes. Nothing is hashed here: that
would read gigabytes on every run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import NamedTuple, TypedDict, cast

from on_host.weights.architecture import Evidence, judge
from on_host.weights.progress import size
from on_host.weights.store import PROVENANCE
from voicestack.settings.catalog import Catalog, KeepDays, Model

DAY_S = 86_400


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
    fetched_from: str
    tool: str


@dataclass
class OnDisk:
    """One directory.

    Attributes:
        provenance: what it says of itself, if that can be read.
        files: path -> size in bytes.
        held: bytes on the disk that deleting it would free.
        documents: of a model without provenance, the small JSON files.
        heads: of a model without provenance, the first bytes of its weights.
    """

    provenance: Provenance | None = None
    files: dict[str, int] = field(default_factory=dict)
    held: int = 0
    documents: dict[str, str] = field(default_factory=dict)
    heads: dict[str, bytes] = field(default_factory=dict)


@dataclass
class WeightsDirectory:
    """Everything in the weights' directory.

    Attributes:
        now: the host's clock (seconds since the epoch).
        is_ours: whether it has a `.replaced`, or a model with a provenance file: what a run made, or somebody who
            says by it that all of the directory may be moved aside.
    """

    now: int = 0
    models: dict[str, OnDisk] = field(default_factory=dict)
    strangers: dict[str, OnDisk] = field(default_factory=dict)
    replaced: dict[str, OnDisk] = field(default_factory=dict)
    staged: dict[str, OnDisk] = field(default_factory=dict)
    is_ours: bool = False


class Pending(NamedTuple):
    """A model that is not in place, and why in words."""

    name: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """What a run has to do.

    Attributes:
        fetch: models to fetch.
        restore: model -> directory below .replaced that holds exactly what the catalog wants.
        aside: names that the catalog does not know.
        expired: directories below .replaced whose time is over.
    """

    fetch: tuple[Pending, ...] = ()
    restore: Mapping[str, str] = field(default_factory=dict)
    aside: tuple[str, ...] = ()
    expired: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether all is as it should be."""
        return not (self.fetch or self.restore or self.aside or self.expired)


def plan(catalog: Catalog, state: WeightsDirectory, keep_days: KeepDays) -> Plan:
    """What to do so that the directory holds exactly the catalog's models."""
    missing = pending(catalog, state.models)
    restore = {name: found for name, _ in missing if (found := _kept(catalog[name], state)) is not None}
    return Plan(
        fetch=tuple(each for each in missing if each.name not in restore),
        restore=restore,
        aside=tuple(state.strangers),
        expired=tuple(
            each
            for each in state.replaced
            if each not in restore.values() and _age_days(each, state.now) >= _limit(keep_days)
        ),
    )


def pending(catalog: Catalog, models: Mapping[str, OnDisk]) -> list[Pending]:
    """The catalog's models that are not in place, in the catalog's order."""
    reasons = {name: why_not_in_place(model, models.get(name)) for name, model in catalog.items()}
    return [Pending(name, reason) for name, reason in reasons.items() if reason]


def why_not_in_place(model: Model, found: OnDisk | None) -> str | None:
    """Why `found` is not `model`, or None if it is."""
    if found is None:
        return "not there"
    provenance = found.provenance
    if provenance is None:
        return recognised(model, found)
    return _identity_differs(model, provenance) or _files_differ(model, provenance, found.files)


def recognised(model: Model, found: OnDisk) -> str:
    """What a directory seems to hold that does not say where it came from."""
    amount = f"{len(found.files)} files of unknown origin ({size(sum(found.files.values()))}, no readable {PROVENANCE})"
    verdict = judge(model.architecture, Evidence(found.files, frozenset(found.files), found.documents, found.heads))
    if verdict.ok:
        return f"{amount}; they look like {model.architecture}, so what is right of them by its digest is kept"
    if verdict.resembles:
        return f"{amount}; they are not {model.architecture} but look like {verdict.resembles}"
    return f"{amount}; they are not {model.architecture}: {verdict.findings[0]}"


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


def _identity_differs(model: Model, provenance: Provenance) -> str | None:
    """The first field in which catalog and provenance disagree."""
    for key in ("repo", "revision", "architecture", "include", "exclude"):
        wanted = getattr(model, key)
        wanted = list(wanted) if isinstance(wanted, tuple) else wanted
        recorded = provenance.get(key)
        if recorded != wanted:
            return f"{key} is {recorded}, the catalog says {wanted}"
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
        pinned = pin.model_dump(exclude_none=True)
        if record is None or any(record[key] != value for key, value in pinned.items()):  # type: ignore[literal-required]
            return f"{path} is not the file that the catalog pins"
    return None


def _kept(model: Model, state: WeightsDirectory) -> str | None:
    """The newest replaced directory that is exactly `model`."""
    candidates = [
        each
        for each, found in state.replaced.items()
        if _name_and_time(each)[0] == model.name and why_not_in_place(model, found) is None
    ]
    return max(candidates, key=lambda each: _name_and_time(each)[1], default=None)


def _name_and_time(replaced: str) -> tuple[str, float]:
    """The model's name and the time (seconds since the epoch) in a name below .replaced; 0 if it tells none."""
    match = re.fullmatch(r"(.+)-(\d{8}T\d{6})(\.\d+)?Z(?:\.swap)?", replaced, re.ASCII | re.DOTALL)
    try:
        moment = datetime.strptime(match[2], "%Y%m%dT%H%M%S").replace(tzinfo=timezone.utc) if match else None
    except ValueError:
        moment = None
    if match is None or moment is None:
        return replaced, 0
    return match[1], moment.timestamp() + float(match[3] or 0)


def _age_days(replaced: str, now: int) -> float:
    """How long ago a directory was replaced; what does not tell (it is not ours) never gets old."""
    moment = _name_and_time(replaced)[1]
    return (now - int(moment)) / DAY_S if moment else float("-inf")


def _limit(keep_days: KeepDays) -> float:
    return float("inf") if keep_days == "forever" else keep_days
