"""The catalog's shape, and what counts as being in place."""

import copy
import json
from typing import Any

import pytest
from pydantic import ValidationError

from deploys.models.catalog import Model
from deploys.models.facts import WeightsState
from deploys.models.state import OnDisk, Provenance, pending, read_provenance

ENTRY: dict[str, Any] = {
    "name": "guard",
    "repo": "meta-llama/Llama-Guard-3-1B",
    "revision": "a" * 40,
    "architecture": "llama_guard_3",
    "include": ["*"],
    "exclude": ["original/*"],
    "licence": "Llama 3.2",
    "gated": True,
}
MODEL = Model(**ENTRY)
PROVENANCE: Provenance = {
    "repo": MODEL.repo,
    "revision": MODEL.revision,
    "architecture": "llama_guard_3",
    "include": ["*"],
    "exclude": ["original/*"],
    "files": {"config.json": {"size": 3, "sha256": "c" * 64}, "sub/w.bin": {"size": 9, "sha256": "d" * 64}},
    "fetched_at": "2026-11-23T00:00:00+00:00",
    "tool": "test",
}


def on_disk() -> OnDisk:
    return {"provenance": copy.deepcopy(PROVENANCE), "files": {"config.json": 3, "sub/w.bin": 9}}


def reason(model: Model, found: OnDisk) -> str | None:
    answers = pending({"guard": model}, {"guard": found})
    return answers[0].reason if answers else None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("revision", "main"),
        ("revision", "A" * 40),
        ("repo", "Llama-Guard-3-1B"),
        ("repo", "../x/y"),
        ("name", ".staging"),
        ("name", "a/b"),
        ("architecture", "gpt"),
        ("include", []),
        ("files", {"x": {"sha256": "short"}}),
        ("fils", {}),
    ],
)
def test_a_mistake_in_the_catalog_is_refused(key: str, value: object) -> None:
    with pytest.raises(ValidationError) as error:
        Model(**{**ENTRY, key: value})
    assert key in str(error.value)


def test_nothing_is_pending_when_provenance_and_sizes_agree() -> None:
    assert pending({"guard": MODEL}, {"guard": on_disk()}) == []


def test_a_model_that_is_not_there_is_pending() -> None:
    assert pending({"guard": MODEL}, {}) == [("guard", "not there")]


def test_files_without_provenance_are_of_unknown_origin() -> None:
    assert reason(MODEL, {"provenance": None, "files": {"x": 1}}) == (
        "1 files of unknown origin (no readable .provenance.json)"
    )


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("revision", "b" * 40, f"revision is {'a' * 40}, the catalog says {'b' * 40}"),
        ("repo", "x/y", "repo is meta-llama/Llama-Guard-3-1B, the catalog says x/y"),
        ("include", ["*.json"], "include is ['*'], the catalog says ['*.json']"),
        ("exclude", [], "exclude is ['original/*'], the catalog says []"),
        ("files", {"config.json": {"sha256": "e" * 64}}, "config.json is not the file that the catalog pins"),
        ("files", {"gone.bin": {"size": 1}}, "gone.bin is not the file that the catalog pins"),
    ],
)
def test_a_changed_catalog_makes_it_pending(key: str, value: object, words: str) -> None:
    assert reason(Model(**{**ENTRY, key: value}), on_disk()) == words


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"config.json": 3}, "sub/w.bin is missing"),
        ({"config.json": 3, "sub/w.bin": 8}, "sub/w.bin has 8 bytes, fetched were 9"),
        ({"config.json": 3, "sub/w.bin": 9, "x": 1}, "x does not belong there"),
    ],
)
def test_a_changed_disk_makes_it_pending(sizes: dict[str, int], words: str) -> None:
    assert reason(MODEL, {**on_disk(), "files": sizes}) == words


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"files": 3}', '{"files": {"a": {"size": "1"}}}', "null"])
def test_a_torn_provenance_file_is_no_proof(text: str) -> None:
    assert read_provenance(text) is None


def test_the_fact_reads_what_its_command_prints() -> None:
    lines = [
        "model guard",
        f"provenance {json.dumps(PROVENANCE)}",
        "file 3 config.json",
        "file 9 sub/w.bin",
        "model other",
        "file 1 with blank.bin",
    ]
    state = WeightsState().process(lines)
    assert state["guard"] == on_disk()
    assert state["other"] == {"provenance": None, "files": {"with blank.bin": 1}}
