"""What is on a host's disk, compared with what the catalog wants: the plan of a run. Pure.

A model counts as in place when its provenance file names the same repository, revision, architecture and
file selection, and exactly the files that it lists are there in their sizes. Nothing is hashed here: that
would read gigabytes on every run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from on_host.weights.architecture import Evidence, judge
from on_host.weights.progress import size
from on_host.weights.store import PROVENANCE
from voicestack.settings.catalog import Catalog, KeepDays, Model

DAY_S = 86_400


class FileRecord(BaseModel):
    """One verified file; `size` in bytes."""

    model_config = ConfigDict(strict=True)

    size: int
    sha256: str


class Provenance(BaseModel):
    """Where a model directory came from, written beside its files once all of them were verified.

    For a person it also says when it was fetched, from where, and by which fetcher.
    """

    model_config = ConfigDict(strict=True)

    repo: str
    revision: str
    architecture: str
    include: list[str]
    exclude: list[str]
    files: dict[str, FileRecord]


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


@dataclass(frozen=True)
class Plan:
    """What a run has to do.

    Attributes:
        fetch: models to fetch, each with the reason why.
        restore: model -> directory below .replaced that holds exactly what the catalog wants.
        aside: names that the catalog does not know.
        expired: directories below .replaced whose time is over.
    """

    fetch: tuple[tuple[str, str], ...] = ()
    restore: Mapping[str, str] = field(default_factory=dict)
    aside: tuple[str, ...] = ()
    expired: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether all is as it should be."""
        return not (self.fetch or self.restore or self.aside or self.expired)


def plan(catalog: Catalog, state: WeightsDirectory, keep_days: KeepDays) -> Plan:
    """What to do so that the directory holds exactly the catalog's models."""
    reasons = {name: why_not_in_place(model, state.models.get(name)) for name, model in catalog.items()}
    kept = {name: _kept(catalog[name], state) for name, reason in reasons.items() if reason}
    restore = {name: found for name, found in kept.items() if found}
    return Plan(
        fetch=tuple((name, reason) for name, reason in reasons.items() if reason and name not in restore),
        restore=restore,
        aside=tuple(state.strangers),
        expired=tuple(
            each for each in state.replaced if each not in restore.values() and _is_over(each, state.now, keep_days)
        ),
    )


def why_not_in_place(model: Model, found: OnDisk | None) -> str | None:
    """Why `found` is not `model`, or None if it is."""
    if found is None:
        return "not there"
    provenance = found.provenance
    if provenance is None:
        return recognised(model, found)
    return _differs(model, provenance, found.files)


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
        return Provenance.model_validate_json(text)
    except ValidationError:
        return None


def _differs(model: Model, provenance: Provenance, sizes: Mapping[str, int]) -> str | None:
    """The first thing in which catalog, provenance and disk disagree."""
    wanted, recorded = model.model_dump(mode="json", exclude_none=True), provenance.model_dump()
    for key in ("repo", "revision", "architecture", "include", "exclude"):
        if recorded[key] != wanted[key]:
            return f"{key} is {recorded[key]}, the catalog says {wanted[key]}"
    records = recorded["files"]
    for path in sorted(records.keys() | sizes.keys()):
        if path not in sizes:
            return f"{path} is missing"
        if path not in records:
            return f"{path} does not belong there"
        if sizes[path] != records[path]["size"]:
            return f"{path} has {sizes[path]} bytes, fetched were {records[path]['size']}"
    for path, pin in wanted["files"].items():
        if path not in records or not pin.items() <= records[path].items():
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
    if match:
        with suppress(ValueError):
            moment = datetime.strptime(f"{match[2]}+0000", "%Y%m%dT%H%M%S%z")
            return match[1], moment.timestamp() + float(match[3] or 0)
    return replaced, 0


def _is_over(replaced: str, now: int, keep_days: KeepDays) -> bool:
    """Whether it was replaced so many days ago; a name that does not tell (it is not ours) never gets old."""
    moment = _name_and_time(replaced)[1]
    return keep_days != "forever" and moment != 0 and now - int(moment) >= keep_days * DAY_S
