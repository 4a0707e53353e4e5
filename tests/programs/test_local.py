"""A directory or a tarball instead of the Hub: verified all the same, and without the Hub's client."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from on_host.weights import fetch, local
from on_host.weights.local import Local
from on_host.weights.origin import RefusedError, Source, read
from on_host.weights.store import PROVENANCE
from tests.unit.weights import (
    GUARD,
    NEWER,
    OLDER,
    WEIGHTS,
    converge,
    documents,
    fetcher,
    flip,
    guard,
    model,
    observe,
    provenance,
    put,
    request,
    sha256,
    stats,
    tree,
    with_metadata,
    write,
)
from voicestack.weights.state import plan

SOURCE = Source(GUARD["repo"], GUARD["revision"])
FILES = guard()


def tarball(archive: Path, files: Mapping[str, bytes], prefix: str = "") -> Path:
    """An archive with files below `guard/`; what is held twice, once as a hard link, as tar does."""
    holders: dict[bytes, str] = {}
    with tarfile.open(archive, "w") as tar:
        for path, data in files.items():
            member = tarfile.TarInfo(f"{prefix}guard/{path}")
            if data in holders:
                member.type, member.linkname = tarfile.LNKTYPE, holders[data]
                tar.addfile(member)
            else:
                holders[data] = member.name
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return archive


def packed(source: Path, archive: Path, *options: str) -> Path:
    """A directory's content as an archive of the real tar."""
    subprocess.run(["tar", "-C", str(source), "-cf", str(archive), *options, "."], check=True)
    return archive


def recorded(directory: Path) -> dict[str, str]:
    """path -> digest, by the provenance."""
    files = json.loads((directory / "guard" / PROVENANCE).read_text())["files"]
    return {path: record["sha256"] for path, record in files.items()}


def in_place(directory: Path) -> bool:
    """By the fact, and by every byte."""
    state = observe(directory, "guard")
    return plan({"guard": model(GUARD)}, state, "forever").nothing and tree(directory / "guard") == FILES


@pytest.mark.parametrize("kind", ["directory", "tarball", "tarball with ./", "tar", "tar --format=gnu", "links"])
def test_every_form_lists_and_reads_the_same(tmp_path: Path, kind: str) -> None:
    files = documents(GUARD, {**FILES, "sub/twin": FILES[WEIGHTS]})
    source = tmp_path / "source"
    write(source / "guard", {**files, ".cache/x": b"", "../guard-2/y": b""})
    if kind.startswith("tarball"):
        source = tarball(tmp_path / "w.tar", files, "./" if kind.endswith("./") else "")
    elif kind.startswith("tar"):
        (source / "guard" / "sub" / "twin").unlink()
        (source / "guard" / "sub" / "twin").hardlink_to(source / "guard" / WEIGHTS)
        source = packed(source, tmp_path / "w.tar", *kind.split()[1:])
    elif kind == "links":
        for path in (WEIGHTS, "sub/twin"):  # as the Hub's client keeps a snapshot
            (source / "guard" / path).rename(tmp_path / path.replace("/", "-"))
            (source / "guard" / path).symlink_to(tmp_path / path.replace("/", "-"))
    origin_ = Local(source, "guard", SOURCE)
    origin_.check_access()
    listing = origin_.listing()
    assert {path: (file.size, file.sha256) for path, file in listing.items()} == {
        path: (len(data), sha256(data)) for path, data in files.items() if path != PROVENANCE
    }
    for path in ("config.json", WEIGHTS, "sub/twin"):
        assert read(origin_, path, 0, 10**9) == files[path]
        assert read(origin_, path, 11, 20) == files[path][11:31]
        assert read(origin_, path, len(files[path]) - 3, 20) == files[path][-3:]


def test_what_one_host_fetched_another_takes_from_a_directory_or_a_tarball(tmp_path: Path) -> None:
    hosts = {name: tmp_path / name for name in "abc"}
    write(tmp_path / "hf" / "guard", with_metadata(FILES))
    converge(hosts["a"], tmp_path / "hf")
    converge(hosts["b"], hosts["a"])
    converge(hosts["c"], packed(hosts["b"], tmp_path / "w.tar"))
    for name, directory in hosts.items():
        assert recorded(directory) == {path: sha256(data) for path, data in FILES.items()}, name
        assert in_place(directory), name
        assert not list((directory / ".staging").iterdir())
    note = json.loads((hosts["c"] / "guard" / PROVENANCE).read_text())
    assert note["fetched_from"] == f"{tmp_path / 'w.tar'}:guard"


CANNOT_BE_READ = r"source\S*:guard: \.provenance\.json cannot be read\. Copy the model once more"


def of(entry: Mapping[str, Any], **changes: Any) -> dict[str, bytes]:
    """A model of `entry` whose provenance says so, but for the changes."""
    return {**FILES, PROVENANCE: json.dumps({**provenance(entry, FILES), **changes}).encode()}


REFUSED: dict[str, tuple[Mapping[str, bytes], str]] = {
    "no model of that name": (
        {"../voxtral/x": b"", "../guard.txt": b"", "../models/guard/x": b""},
        r"guard: \S+ has no directory guard\. Check the setting weights_source",
    ),
    "another commit": (of(OLDER), r"source\S*:guard is meta\S+@000000000000 by its .provenance.json, the catalog says"),
    "another repository": (of({**GUARD, "repo": "a/b"}), r"guard is a/b@acf7aafa60f0 by .*, the catalog says meta"),
    "the wrong model under the right provenance": (
        documents(GUARD, {**FILES, "config.json": FILES["config.json"].replace(b"2048", b"4096")}),
        "config.json hidden_size: expected 2048, found 4096",
    ),
    "a file fewer, as after an interrupted copy": (
        {path: data for path, data in of(GUARD).items() if path != "sub/LICENSE.txt"},
        r"guard lacks \(some of\) sub/LICENSE\.txt by its .provenance.json\. Copy it again",
    ),
    "a file of another size": (of(GUARD) | {"sub/LICENSE.txt": b"cut"}, r"guard lacks \(some of\) sub/LICENSE\.txt by"),
    "the Hub's notes of another commit": (
        with_metadata(FILES, NEWER["revision"]),
        r"guard: Nothing says what \S+ in \S+source\S*:guard must be\. Copy the model with its .provenance.json",
    ),
    "notes of another kind": (with_metadata(FILES, "not a note"), "Nothing says what"),
    "nothing that vouches for it": (FILES, r"Nothing says what .* or pin the file's sha256 in weights_catalog"),
    **{
        f"provenance {text[:12]}": ({**FILES, PROVENANCE: text.encode()}, CANNOT_BE_READ)
        for text in (
            '{"repo": "x',
            "[1]",
            '"text"',
            '{"files": 3}',
            '{"files": {"x": 3}}',
            "{}x",
            "[" * 100_000,
            "\0\0",
        )
    },
    "provenance without digests": (of(GUARD, files={"config.json": {"size": 1}}), CANNOT_BE_READ),
    "provenance with other records": (of(GUARD, files={"config.json": []}), CANNOT_BE_READ),
}


@pytest.mark.parametrize("kind", ["directory", "tarball"])
@pytest.mark.parametrize(("files", "words"), REFUSED.values(), ids=REFUSED)
def test_a_source_that_is_not_wholly_the_model_is_refused(
    tmp_path: Path, kind: str, files: Mapping[str, bytes], words: str
) -> None:
    write(tmp_path / "source" / "guard", files)
    source = tmp_path / "source"
    with pytest.raises(RefusedError, match=words):
        converge(tmp_path / "models", source if kind == "directory" else packed(source, tmp_path / "source.tar"))
    assert tree(tmp_path / "models") == {}


def test_a_pattern_that_matches_nothing_is_a_mistake(tmp_path: Path) -> None:
    put(tmp_path / "source" / "guard", GUARD, FILES)
    with pytest.raises(
        RefusedError, match=r"No file matches 'voices/\*'; there are: config.json, model.safetensors, sub"
    ):
        converge(tmp_path / "models", tmp_path / "source", {**GUARD, "include": ["*", "voices/*"]})


def test_pins_vouch_for_what_nothing_else_does_and_contradict_what_does(tmp_path: Path) -> None:
    write(tmp_path / "source" / "guard", FILES)
    pins = {path: {"sha256": sha256(data), "size": len(data)} for path, data in FILES.items()}
    converge(tmp_path / "models", tmp_path / "source", {**GUARD, "files": pins})
    assert in_place(tmp_path / "models")
    entry = {**GUARD, "files": {WEIGHTS: {"sha256": "0" * 64, "size": None}}}
    with pytest.raises(RefusedError, match=f"{WEIGHTS} has sha256 [0-9a-f]+, the catalog pins 0000"):
        converge(tmp_path / "other", tmp_path / "models", entry)


@pytest.mark.parametrize("kind", ["directory", "tarball"])
@pytest.mark.parametrize("path", [WEIGHTS, "tokenizer.json"])
def test_a_flipped_byte_is_refused_after_two_tries_and_nothing_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, path: str
) -> None:
    models, source = tmp_path / "models", tmp_path / "source"
    put(models / "guard", OLDER, guard(seed=2))
    put(source / "guard", GUARD, FILES)
    flip(source / "guard" / path, -1)
    before = stats(models / "guard")
    with pytest.raises(RefusedError, match=rf"{path} arrived damaged twice \(sha256 .*\)\. Nothing was installed"):
        converge(models, source if kind == "directory" else packed(source, tmp_path / "w.tar"))
    assert f"guard: {path} arrived damaged (sha256" in capsys.readouterr().out
    assert {p: now[:2] for p, now in stats(models / "guard").items()} == {p: old[:2] for p, old in before.items()}
    assert tree(models / "guard") == guard(seed=2)
    assert not (models / ".replaced").exists()


def test_after_the_source_was_mended_only_the_damaged_file_is_read_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models, source = tmp_path / "models", tmp_path / "source"
    put(source / "guard", GUARD, FILES)
    flip(source / "guard" / "tokenizer.json", -1)
    with pytest.raises(RefusedError, match="damaged twice"):
        converge(models, source)
    flip(source / "guard" / "tokenizer.json", -1)
    converge(models, source)
    assert f"Fetched {len(FILES['tokenizer.json'])} B in " in capsys.readouterr().out
    assert in_place(models)


@pytest.mark.parametrize("length", [0, 100, 5000, 5120, 20_000, None], ids=str)
def test_a_tarball_that_was_cut_or_compressed_is_refused(tmp_path: Path, length: int | None) -> None:
    archive = tarball(tmp_path / "w.tar", documents(GUARD, FILES))
    content = archive.read_bytes()
    archive.write_bytes(gzip.compress(content, 1) if length is None else content[:length])
    words = r"w.tar is not a whole, uncompressed tar archive \(.*\)\. Copy it once more, or uncompress it"
    with pytest.raises(RefusedError, match=None if length else words):
        converge(tmp_path / "models", archive)
    assert tree(tmp_path / "models") == {}


@pytest.mark.parametrize("form", ["gnu", "posix"])
def test_a_sparse_tarball_is_refused(tmp_path: Path, form: str) -> None:
    write(tmp_path / "source" / "guard", {"holes": b""})
    os.truncate(tmp_path / "source" / "guard" / "holes", 1 << 20)
    archive = packed(tmp_path / "source", tmp_path / "w.tar", "--sparse", f"--format={form}")
    with pytest.raises(RefusedError, match="was packed with --sparse"):
        converge(tmp_path / "models", archive)


@pytest.mark.parametrize("path", ["../../escaped", "/escaped", "sub/../../../escaped"])
def test_no_origin_can_write_outside_the_staging_directory(tmp_path: Path, path: str) -> None:
    """Nor can a mirror of the Hub: the listing's paths are checked, whoever wrote it."""
    target = str(tmp_path / "escaped") if path.startswith("/") else path
    archive = tarball(tmp_path / "w.tar", documents(GUARD, {**FILES, target: b"root:x:0:0"}))
    with pytest.raises(RefusedError, match="escaped"):
        converge(tmp_path / "models", archive)
    assert [file for file in tmp_path.rglob("*") if file.name.startswith("escaped")] == []


def test_a_file_that_the_source_cannot_give_is_the_sources_trouble(tmp_path: Path) -> None:
    """An OSError would be reported as the trouble of the disk of weights_directory."""
    put(tmp_path / "source" / "guard", GUARD, FILES)
    origin_ = Local(tmp_path / "source", "guard", SOURCE)
    (tmp_path / "source" / "guard" / WEIGHTS).unlink()
    with pytest.raises(RefusedError, match=f"source:guard.*{WEIGHTS}"):
        read(origin_, WEIGHTS, 0, 10)


def test_the_program_needs_nothing_but_python_without_the_hub(tmp_path: Path) -> None:
    put(tmp_path / "source" / "guard", GUARD, FILES)
    models = tmp_path / "models"
    sent = request(models, source=str(tmp_path / "source"), models={"guard": GUARD})
    done = fetcher(tmp_path / "home", sent)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"guard: in place, 5 files verified." in done.stdout
    assert in_place(models)


def test_the_program_says_what_is_wrong_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = request(tmp_path / "models", source=str(tmp_path / "nowhere"), models={"guard": GUARD})
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(sent)))
    assert fetch.main() == 1
    assert capsys.readouterr().err.startswith(f"weights: {tmp_path / 'nowhere'} does not exist on the host")


def test_a_source_larger_than_a_block_comes_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "BLOCK", 10)
    put(tmp_path / "source" / "guard", GUARD, FILES)
    with Local(tmp_path / "source", "guard", SOURCE).stream(WEIGHTS, 5, 38) as (begins, pieces):
        assert (begins, [len(piece) for piece in pieces]) == (5, [10, 10, 10, 3])
