"""What counts as being in place, and the plan of a run."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from on_host.weights.architecture import MEANT
from tests.unit.weights import GUARD, NEWER, OLDER, guard, model, provenance
from voicestack.settings.catalog import KeepDays
from voicestack.weights.state import OnDisk, Plan, WeightsDirectory, plan, read_provenance, recognised

FILES = {"config.json": b"abc", "sub/w.bin": b"123456789"}
SIZES = {"config.json": 3, "sub/w.bin": 9}
SHAPELESS = OnDisk(None, {"x": 1})
NOON = int(datetime(2026, 11, 23, 12, tzinfo=timezone.utc).timestamp())


def on_disk(entry: dict[str, Any] = GUARD, **changes: Any) -> OnDisk:
    """A model exactly as it was fetched, but for the changes."""
    found = OnDisk(read_provenance(json.dumps(provenance(entry, FILES))), dict(SIZES))
    for key, value in changes.items():
        setattr(found, key, value)
    return found


def reason(entry: dict[str, Any], found: OnDisk) -> str | None:
    """Why a run for `entry` would fetch it, or None if it would do nothing."""
    todo = planned({"guard": found}, entry=entry)
    return None if todo.nothing else todo.fetch[0][1]


def planned(
    models: dict[str, OnDisk],
    replaced: dict[str, OnDisk] | None = None,
    keep: KeepDays = "forever",
    entry: dict[str, Any] = GUARD,
) -> Plan:
    """The plan for a catalog with `entry` as "guard" and a host where it is noon."""
    return plan({"guard": model(entry)}, WeightsDirectory(NOON, models, {}, replaced or {}), keep)


def test_there_is_nothing_to_do_when_all_is_in_place() -> None:
    """Nor for what was replaced before, nor for a known model that is not in use."""
    assert planned({"guard": on_disk()}) == Plan()
    assert planned({"guard": on_disk()}, {"guard-20200101T000000Z": on_disk()}).nothing
    assert planned({"guard": on_disk(), "whisper-before": SHAPELESS}).nothing


@pytest.mark.parametrize(
    "todo", [Plan(fetch=(("x", "y"),)), Plan(restore={"x": "y"}), Plan(aside=("x",)), Plan(expired=("x",))]
)
def test_each_thing_to_do_is_one(todo: Plan) -> None:
    assert not todo.nothing


def test_models_that_are_not_there_are_fetched_in_the_catalogs_order() -> None:
    catalog = {name: model(GUARD, name) for name in ("z", "guard", "a")}
    todo = plan(catalog, WeightsDirectory(NOON, {"guard": on_disk()}), 0)
    assert todo == Plan(fetch=(("z", "not there"), ("a", "not there")))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("revision", "b" * 40, f"revision is {GUARD['revision']}, the catalog says {'b' * 40}"),
        ("repo", "x/y", "repo is meta-llama/Llama-Guard-3-1B, the catalog says x/y"),
        ("architecture", "whisper_ct2", "architecture is llama_guard_3, the catalog says whisper_ct2"),
        ("include", ["*.json"], "include is ['*'], the catalog says ['*.json']"),
        ("exclude", [], "exclude is ['original/*'], the catalog says []"),
        ("files", {"config.json": {"sha256": "e" * 64}}, "config.json is not the file that the catalog pins"),
        ("files", {"config.json": {"size": 4}}, "config.json is not the file that the catalog pins"),
        ("files", {"gone.bin": {}}, "gone.bin is not the file that the catalog pins"),
    ],
)
def test_a_changed_catalog_has_it_fetched(key: str, value: object, words: str) -> None:
    assert reason({**GUARD, key: value}, on_disk()) == words


def test_a_pin_that_agrees_changes_nothing_and_licence_and_gate_do_not_count() -> None:
    pin = provenance(GUARD, FILES)["files"]["config.json"]
    entry = {**GUARD, "files": {"config.json": pin, "sub/w.bin": {"size": 9}}, "licence": "other", "gated": True}
    assert reason(entry, on_disk()) is None


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"config.json": 3}, "sub/w.bin is missing"),
        ({"config.json": 3, "sub/w.bin": 8}, "sub/w.bin has 8 bytes, fetched were 9"),
        ({"config.json": 3, "sub/w.bin": 9, "x": 1}, "x does not belong there"),
    ],
)
def test_a_changed_disk_has_it_fetched(sizes: dict[str, int], words: str) -> None:
    assert reason(GUARD, on_disk(files=sizes)) == words


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "{}", "null", "[" * 100_000, "\0" * 9),
        *(
            json.dumps(provenance(GUARD, {}) | {"files": files})
            for files in (3, {"a": 1}, {"a": {"size": "1"}}, {"a": {"size": True, "sha256": ""}}, {"a": {"size": 1}})
        ),
        json.dumps(provenance(GUARD, FILES)).replace('"size": 3', '"size": ' + "9" * 5000),
        '{"files": {}}',
    ],
)
def test_a_torn_provenance_file_is_no_proof(text: str) -> None:
    assert read_provenance(text) is None


def test_what_the_catalog_does_not_know_goes_aside() -> None:
    state = WeightsDirectory(NOON, {"guard": on_disk()}, {"old thing": SHAPELESS, "notes.txt": SHAPELESS}, {})
    todo = plan({"guard": model(GUARD)}, state, "forever")
    assert todo == Plan(aside=("old thing", "notes.txt"))


def test_the_newest_kept_directory_that_is_the_wanted_model_is_restored_and_not_fetched() -> None:
    replaced = {
        "guard-20261101T000000.000000Z": on_disk(),
        "guard-20261103T000000.000000Z": on_disk(),
        "guard-20261102T000000.000000Z": on_disk(),
        "guard-20261104T000000.000000Z": on_disk(NEWER),
        "guard-20261105T000000.000000Z": on_disk(files={"config.json": 3}),
        "guard-20261106T000000.000000Z": SHAPELESS,
        "other-20261107T000000.000000Z": on_disk(),
    }
    for models in ({}, {"guard": on_disk(NEWER)}, {"guard": SHAPELESS}):
        assert planned(models, replaced) == Plan(restore={"guard": "guard-20261103T000000.000000Z"})


def test_of_two_kept_in_one_second_the_later_one_is_restored() -> None:
    early, late = "guard-20261101T000000.100000Z", "guard-20261101T000000.900000Z"
    for names in ((early, late), (late, early)):
        assert planned({}, {name: on_disk() for name in names}).restore == {"guard": late}


def test_each_model_is_restored_from_its_own() -> None:
    catalog = {"guard": model(GUARD), "guard-2": model(GUARD, "guard-2")}
    replaced = {f"{name}-20261101T000000.000000Z": on_disk() for name in catalog}
    todo = plan(catalog, WeightsDirectory(NOON, {}, {}, replaced), 0)
    assert todo == Plan(restore={name: f"{name}-20261101T000000.000000Z" for name in catalog})


@pytest.mark.parametrize(
    ("keep", "expired"),
    [
        ("forever", []),
        (7, ["guard-20261116T120000.000000Z", "guard-20260101T000000Z"]),
        (8, ["guard-20260101T000000Z"]),
        (0, ["guard-20261123T120000.000000Z", "guard-20261116T120000.000000Z", "guard-20260101T000000Z"]),
    ],
)
def test_what_was_replaced_is_kept_for_so_many_days_by_the_hosts_clock(keep: KeepDays, expired: list[str]) -> None:
    """Seven days to the second are over; a second less is not, nor is a time that the host's clock has yet to reach."""
    names = [
        "guard-20261123T120001.000000Z",
        "guard-20261123T120000.000000Z",
        "guard-20261116T120000.000000Z",
        "guard-20260101T000000Z",
    ]
    todo = planned({"guard": on_disk()}, {name: on_disk(OLDER) for name in names}, keep)
    assert list(todo.expired) == expired
    later = WeightsDirectory(NOON - 1, {"guard": on_disk()}, {}, {"guard-20261116T120000.000000Z": on_disk(OLDER)})
    assert plan({"guard": model(GUARD)}, later, 7).nothing


def test_what_is_restored_does_not_expire_and_the_others_do() -> None:
    old, older = "guard-20200102T000000.000000Z", "guard-20200101T000000.000000Z"
    todo = planned({"guard": on_disk(NEWER)}, {older: on_disk(), old: on_disk()}, 0)
    assert todo == Plan(restore={"guard": old}, expired=(older,))


@pytest.mark.parametrize(
    "name",
    [
        *("by hand", "guard", "guard-2020", "guard-20200101T000000", "20200101T000000Z"),
        *("guard-20261399T000000Z", "guard-20260230T000000.5Z", "guard-00000000T000000Z"),
    ],
)
def test_a_directory_whose_name_tells_no_time_that_there_is_never_expires(name: str) -> None:
    assert planned({"guard": on_disk()}, {name: on_disk(OLDER)}, 0).nothing


@pytest.mark.parametrize("kind", MEANT)
def test_files_without_provenance_are_of_unknown_origin(kind: str) -> None:
    words = recognised(model({**GUARD, "architecture": kind}), SHAPELESS)
    assert words.startswith("1 files of unknown origin (1 B, ")
    assert f"; they are not {kind}: " in words


def test_the_right_files_without_provenance_are_said_to_be_kept() -> None:
    files = guard()
    found = OnDisk(
        files={path: len(data) for path, data in files.items()},
        documents={"config.json": files["config.json"].decode()},
        heads={"model.safetensors": files["model.safetensors"]},
    )
    words = recognised(model(GUARD), found)
    assert "5 files of unknown origin" in words
    assert "look like llama_guard_3, so what is right of them by its digest is kept" in words


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["model_type", "multimodal", "architectures", "dim", "hidden_size", "suppress_ids", "files"])
DOCUMENTS = (JSON | st.dictionaries(KEYS, JSON)).map(json.dumps).map(str.encode) | st.binary(max_size=60)
HEADS = st.binary(max_size=60) | DOCUMENTS.map(lambda text: len(text).to_bytes(8, "little") + text)


@settings(deadline=None, max_examples=30)  # a busy machine is not a failure
@given(
    kind=st.sampled_from(sorted(MEANT)),
    documents=st.dictionaries(st.sampled_from(["params.json", "config.json"]), DOCUMENTS),
    heads=st.dictionaries(st.sampled_from(["consolidated.safetensors", "model.safetensors", "model.bin"]), HEADS),
    torn=DOCUMENTS,
)
def test_whatever_lies_there_the_plan_finds_words(
    kind: str, documents: dict[str, bytes], heads: dict[str, bytes], torn: bytes
) -> None:
    state = WeightsDirectory(
        models={
            "guard": OnDisk(
                provenance=read_provenance(torn.decode("utf-8", errors="replace")),
                files={path: len(data) for path, data in {**documents, **heads}.items()},
                documents={path: data.decode("utf-8", errors="replace") for path, data in documents.items()},
                heads=heads,
            )
        }
    )
    todo = plan({"guard": model({**GUARD, "architecture": kind})}, state, 0)
    assert [name for name, _ in todo.fetch] == ["guard"]
    if state.models["guard"].provenance is None:
        assert f"{len(documents) + len(heads)} files of unknown origin" in todo.fetch[0][1]


@settings(deadline=None, max_examples=30)
@given(st.text(max_size=20) | st.from_regex(r"\A[a-z]{1,3}-\d{8}T\d{6}(\.\d+)?Z\Z"))
def test_no_name_below_replaced_stops_a_run(name: str) -> None:
    todo = planned({"guard": on_disk()}, {name: on_disk(OLDER)}, 0)
    assert todo in (Plan(), Plan(expired=(name,)))
