"""What the controller learns of a host's disk: the fact's real command on real directories."""

from __future__ import annotations

import json
import struct
from itertools import zip_longest
from pathlib import Path

from on_host.weights.architecture import MAX_DOCUMENT, MAX_HEADER
from on_host.weights.progress import size
from on_host.weights.store import PROVENANCE
from tests.lab.hub import content
from tests.unit.weights import GUARD, NEWER, WEIGHTS, guard, model, observe, provenance, put, stats, write
from voicestack.weights.state import WeightsDirectory, plan, read_provenance, recognised

ODD = [
    "a b",
    " blank",
    "blank ",
    "it's",
    'say "hi"',
    "$(touch pwned)",
    "`id`",
    "a;b",
    "*",
    "[a]",
    "\\n",
    "ä",
    "!",
    "(",
    "two\nlines",
    "x\nmodel guard",
    "\udcff",
]
CATALOG = {"guard": model(GUARD)}
FILES = guard()


def blocks(file: Path) -> int:
    """Bytes that a file holds on the disk."""
    return file.lstat().st_blocks * 512


def test_an_absent_directory_is_all_empty_and_a_bare_one_has_a_clock(tmp_path: Path) -> None:
    assert observe(tmp_path / "models", "guard") == WeightsDirectory()
    state = observe(tmp_path, "guard", "voxtral")
    assert state.now >= int(tmp_path.stat().st_mtime)
    assert state == WeightsDirectory(now=state.now)


def test_a_model_with_provenance_is_in_place_and_its_content_stays_unread(tmp_path: Path) -> None:
    put(tmp_path / "guard", GUARD, FILES)
    state = observe(tmp_path, "guard")
    found = state.models["guard"]
    assert found.provenance == read_provenance(json.dumps(provenance(GUARD, FILES)))
    assert found.files == {path: len(data) for path, data in FILES.items()}
    assert found.held == sum(blocks(tmp_path / "guard" / path) for path in FILES)
    assert (found.documents, found.heads) == ({}, {})
    assert plan(CATALOG, state, 0).nothing


def test_models_come_in_the_catalogs_order_and_all_names_are_found(tmp_path: Path) -> None:
    for name in ("a", "m-1.5_x", "z"):
        put(tmp_path / name, GUARD, {"config.json": b"{}"})
    state = observe(tmp_path, "z", "missing", "m-1.5_x", "a")
    assert list(state.models) == ["z", "m-1.5_x", "a"]
    assert state.strangers == {}


def test_a_model_without_provenance_shows_its_documents_and_heads(tmp_path: Path) -> None:
    write(tmp_path / "guard", FILES)
    found = observe(tmp_path, "guard").models["guard"]
    (length,) = struct.unpack("<Q", FILES[WEIGHTS][:8])
    assert found.provenance is None
    assert found.documents == {"config.json": FILES["config.json"].decode()}
    assert found.heads == {WEIGHTS: FILES[WEIGHTS][: 8 + length]}
    assert "look like llama_guard_3" in recognised(CATALOG["guard"], found)


def header(length: int) -> bytes:
    return struct.pack("<Q", length) + b"\x97 {\n" * (length // 4)


HEADS = [
    (WEIGHTS, header(60_000) + b"x" * 1000, 60_008),
    ("consolidated.safetensors", header(MAX_HEADER) + b"x", 8 + MAX_HEADER),
    (WEIGHTS, header(0) + b"x" * 100, 8),
    (WEIGHTS, struct.pack("<Q", MAX_HEADER + 4) + b"x" * 100, 64),
    (WEIGHTS, struct.pack("<Q", 2**63) + b"x" * 100, 64),
    (WEIGHTS, b"\xff" * 100, 64),
    (WEIGHTS, struct.pack("<Q", 5000) + b"ends early", 18),
    (WEIGHTS, b"\5\0", 2),
    (WEIGHTS, b"abcdefg", 7),
    (WEIGHTS, b"", 0),
    ("model.bin", bytes(range(256)), 64),
    ("model.bin", b"abc", 3),
]
"""A file, its content, and how much of it shall be read."""


def test_a_head_is_as_long_as_it_says_within_bounds(tmp_path: Path) -> None:
    for index, (path, data, _) in enumerate(HEADS):
        write(tmp_path / f"m{index}", {path: data})
    state = observe(tmp_path, *(f"m{index}" for index in range(len(HEADS))))
    assert len(state.models) == len(HEADS)
    for found, (path, data, length) in zip(state.models.values(), HEADS, strict=True):
        assert found.heads == {path: data[:length]}
        assert found.files == {path: len(data)}
        words = recognised(CATALOG["guard"], found)
        assert words.startswith("1 files of unknown origin")


def test_documents_are_read_up_to_their_bound_whatever_they_hold(tmp_path: Path) -> None:
    documents = {"params.json": b"x" * MAX_DOCUMENT, "config.json": b"\0\xff\n'$(id)'\n\n"}
    write(tmp_path / "guard", documents)
    found = observe(tmp_path, "guard").models["guard"]
    assert found.documents == {path: data.decode(errors="replace") for path, data in documents.items()}
    write(tmp_path / "guard", {"params.json": b"x" * (MAX_DOCUMENT + 1)})
    assert list(observe(tmp_path, "guard").models["guard"].documents) == ["config.json"]


def test_the_wrong_variant_is_named_with_its_size(tmp_path: Path) -> None:
    """From its first kilobytes, as the operator sees it before anything is fetched or moved."""
    files = {path: data for path, data in content.mini().items() if not path.startswith("model-0000")}
    write(tmp_path / "voxtral", files)
    catalog = {"voxtral": model({**GUARD, "architecture": "voxtral_tts"}, "voxtral")}
    ((name, reason),) = plan(catalog, observe(tmp_path, "voxtral"), 0).fetch
    assert name == "voxtral"
    assert reason.startswith(f"5 files of unknown origin ({size(sum(map(len, files.values())))}, ")
    assert reason.endswith(
        "; they are not voxtral_tts but look like Voxtral-Mini-3B-2507 (it transcribes speech; it cannot speak)"
    )


def test_a_model_directory_may_be_a_link_to_one(tmp_path: Path) -> None:
    put(tmp_path / "disk" / "g", GUARD, FILES)
    models = tmp_path / "models"
    models.mkdir()
    (models / "guard").symlink_to("../disk/g")
    assert plan(CATALOG, observe(models, "guard"), 0).nothing


def test_a_file_that_is_a_link_does_not_pass_for_the_file(tmp_path: Path) -> None:
    put(tmp_path / "guard", GUARD, FILES)
    weights = tmp_path / "guard" / WEIGHTS
    weights.rename(tmp_path / "guard" / "elsewhere")
    weights.symlink_to("elsewhere")
    found = observe(tmp_path, "guard").models["guard"].files
    assert (found["elsewhere"], found[WEIGHTS]) == (len(FILES[WEIGHTS]), len("elsewhere"))


def test_what_has_a_models_name_and_is_none_is_pending(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 1000)
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "empty").mkdir()
    state = observe(tmp_path, "file", "link", "empty")
    assert state.strangers == {}
    pending = plan({name: model(GUARD, name) for name in ("file", "link", "empty")}, state, 0).fetch
    assert [name for name, reason in pending if "of unknown origin" in reason] == ["file", "link", "empty"]


def test_strangers_are_named_and_ours_are_not(tmp_path: Path) -> None:
    put(tmp_path / "guard", GUARD, FILES)
    put(tmp_path / "old", GUARD, {"w": b"123"})
    write(tmp_path, {"notes.txt": b"by hand", "lost+found/x": b"", ".lock": b"", ".staging/x/y": b"", ".hidden": b""})
    (tmp_path / "link").symlink_to("nowhere")
    state = observe(tmp_path, "guard")
    assert list(state.strangers) == ["link", "notes.txt", "old"]
    assert state.strangers["old"].files == {"w": 3}
    assert {name: left.files for name, left in state.staged.items()} == {"x": {"y": 0}}
    assert state.replaced == {}


def test_a_directory_is_known_to_be_ours_by_what_we_alone_make(tmp_path: Path) -> None:
    """A hand's directory may be full of models, even under the catalog's names."""
    write(tmp_path / "hands", {"guard/model.safetensors": b"1", ".lock": b"", ".staging/x": b"", ".replaced": b"1"})
    assert not observe(tmp_path / "hands", "guard").is_ours
    for name, known in (("in the catalog", "guard"), ("of an older catalog", "other")):
        put(tmp_path / name / known, GUARD, FILES)
        assert observe(tmp_path / name, "guard").is_ours
    (tmp_path / "told" / ".replaced").mkdir(parents=True)
    assert observe(tmp_path / "told").is_ours
    assert not observe(tmp_path / "absent").is_ours


def test_names_are_only_names(tmp_path: Path) -> None:
    """Blanks, quotes, line breaks, what is not UTF-8, and whatever a shell or find would take for a command."""
    for name in ODD:
        write(tmp_path, {f"{name}/{name}": b"1", f".replaced/{name}/in {name}": b"22", f"guard/{name}": b"333"})
    write(tmp_path, {"stranger file ": b"4444"})
    before = stats(tmp_path)
    state = observe(tmp_path, "guard")
    assert set(state.strangers) == {*ODD, "stranger file "}
    assert {name: found.files for name, found in state.replaced.items()} == {name: {f"in {name}": 2} for name in ODD}
    assert state.models["guard"].files == dict.fromkeys(ODD, 3)
    assert stats(tmp_path) == before
    assert {name: state.strangers[name].files for name in ODD} == {name: {name: 1} for name in ODD}


def test_strangers_with_the_names_of_options_are_only_names(tmp_path: Path) -> None:
    """As a bare word, "-delete" would make find empty the weights' directory."""
    names = ["--help", "-L", "-delete", "-quit"]
    put(tmp_path / "guard", GUARD, FILES)
    write(tmp_path, {path: b"1" for name in names for path in (name, f".replaced/{name}/x")})
    before = stats(tmp_path)
    state = observe(tmp_path, "guard")
    assert stats(tmp_path) == before
    assert sorted(state.strangers) == names
    assert [list(found.files.values()) for found in state.strangers.values()] == [[1]] * len(names)
    assert plan(CATALOG, state, 0).fetch == ()


def test_a_stranger_named_like_two_models_is_still_a_stranger(tmp_path: Path) -> None:
    write(tmp_path, {"a b/x": b"1", "a/x": b"1"})
    assert list(observe(tmp_path, "a", "b").strangers) == ["a b"]


def test_replaced_directories_tell_what_deleting_them_would_free(tmp_path: Path) -> None:
    put(tmp_path / "guard", NEWER, FILES)
    kept = tmp_path / ".replaced" / "guard-20261101T000000.000000Z"
    put(kept, GUARD, FILES)
    (kept / WEIGHTS).unlink()
    (kept / WEIGHTS).hardlink_to(tmp_path / "guard" / WEIGHTS)
    state = observe(tmp_path, "guard")
    own = sum(blocks(kept / path) for path in FILES if path != WEIGHTS)
    assert state.replaced[kept.name].held == own > 0
    assert state.replaced[kept.name].files[WEIGHTS] == len(FILES[WEIGHTS])
    assert plan(CATALOG, state, 0).restore == {"guard": kept.name}


def test_a_torn_provenance_file_is_no_proof_and_hides_nothing_else(tmp_path: Path) -> None:
    """Be it text, another kind of text, no text, or no file; what it vouched for is recognised by its content."""
    torn = (b"", b"{", b"\0" * 4096, b"\n\n{\r\n", b"model other\nreplaced x\n", b"\x80\xff\xfe" * 1000, None)
    names = [*(f"torn-{index}" for index in range(len(torn))), "whole"]
    for name, garbage in zip_longest(names, torn):
        put(tmp_path / name, GUARD, FILES)
        file = tmp_path / name / PROVENANCE
        if garbage is not None:
            file.write_bytes(garbage)
        elif name != "whole":
            file.unlink()
            file.mkdir()
    state = observe(tmp_path, *names)
    assert [name for name, found in state.models.items() if found.provenance is not None] == ["whole"]
    assert [len(found.files) for found in state.models.values()] == [len(FILES)] * len(names)
    assert state.replaced == {}
    todo = plan({name: model(GUARD, name) for name in names}, state, 0)
    assert [name for name, reason in todo.fetch if "look like llama_guard_3" in reason] == names[:-1]
