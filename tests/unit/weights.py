"""Small models, and what a host's disk says of them: shared by the tests of the weights' tools."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from on_host.weights import fetch
from on_host.weights.digest import Expected
from on_host.weights.store import PROVENANCE
from tests.lab.hub import content
from voicestack.bundle import bundle
from voicestack.remote import script_file
from voicestack.settings.catalog import Model
from voicestack.weights import operations
from voicestack.weights.facts import WeightsState
from voicestack.weights.state import WeightsDirectory

GUARD: dict[str, Any] = {
    "repo": "meta-llama/Llama-Guard-3-1B",
    "revision": "acf7aafa60f0410f8f42b1fa35e077d705892029",
    "architecture": "llama_guard_3",
    "include": ["*"],
    "exclude": ["original/*"],
    "files": {},
    "licence": "Llama 3.2",
    "gated": False,
}
"""As the fetcher gets it; `model` makes the controller's form of it."""

OLDER = {**GUARD, "revision": "0" * 40}
NEWER = {**GUARD, "revision": "f" * 40}
WEIGHTS = "model.safetensors"


def model(entry: Mapping[str, Any], name: str = "guard") -> Model:
    """A catalog entry."""
    return Model(name=name, **entry)


def guard(seed: int = 1) -> dict[str, bytes]:
    """A Llama Guard of kilobytes, which passes the architecture check; other weights for another `seed`."""
    return {
        "config.json": content.text(content.GUARD_CONFIG),
        "tokenizer.json": content.text({"version": "1.0", "seed": seed}),
        "tokenizer_config.json": content.text({"model_max_length": 131072}),
        "sub/LICENSE.txt": b"The lab's stand-in.\n",
        WEIGHTS: content.safetensors({"lm_head.weight": [64, 512], "model.norm.weight": [512]}, seed),
    }


def sha256(data: bytes) -> str:
    """In hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def git_sha1(data: bytes) -> str:
    """The name of a git blob."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def expected(data: bytes) -> Expected:
    """What the Hub says of a large file."""
    return Expected(len(data), sha256(data))


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """These files below `folder`."""
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def provenance(entry: Mapping[str, Any], files: Mapping[str, bytes]) -> dict[str, Any]:
    """What the fetcher would write beside these files."""
    kept = {key: entry[key] for key in ("repo", "revision", "architecture", "include", "exclude")}
    records = {path: {"size": len(data), "sha256": sha256(data)} for path, data in files.items()}
    return {**kept, "files": records, "fetched_at": "2026-11-23T00:00:00+00:00", "fetched_from": "x", "tool": "test"}


def documents(entry: Mapping[str, Any], files: Mapping[str, bytes]) -> dict[str, bytes]:
    """These files and their provenance."""
    return {**files, PROVENANCE: json.dumps(provenance(entry, files), indent=2).encode()}


def put(folder: Path, entry: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """A model in place, with its provenance."""
    write(folder, documents(entry, files))


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` but the provenance."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {path: file.read_bytes() for path, file in found.items() if path != PROVENANCE}


def stats(folder: Path) -> dict[str, tuple[int, ...]]:
    """Whatever would tell that something below `folder` was written, renamed or linked."""
    return {
        str(path): (stat.st_ino, stat.st_mode, stat.st_nlink, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        for path in [folder, *folder.rglob("*")]
        for stat in [path.lstat()]
    }


def flip(file: Path, offset: int) -> None:
    """Damage one byte; a negative offset counts from the end."""
    data = bytearray(file.read_bytes())
    data[offset] ^= 0x01
    file.write_bytes(data)


def observe(directory: Path, *names: str) -> WeightsDirectory:
    """What the fact says of a directory; pyinfra reads it as UTF-8 and loses all that follows what is not."""
    words = ["sh", "-c", WeightsState().command(directory=str(directory), names=names)]
    done = subprocess.run(words, capture_output=True, check=True, timeout=20)
    assert done.stderr == b""
    return WeightsState().process(done.stdout.decode("utf-8").splitlines())


def fetcher(home: Path, sent: Mapping[str, Any], **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run the fetcher as on a host: its own files, started by its script; importing the Hub's client would fail."""
    program = home / "program"
    write(program, {path: file.content for path, file in bundle("weights").items()})
    write(program, {f"{name}.py": b"raise SystemExit(99)" for name in ("huggingface_hub", "httpx2", "pydantic")})
    command = script_file(operations.__file__, "fetch.sh", str(home), "", "http://127.0.0.1:1")
    stdin = json.dumps(sent).encode() + b"\n"
    return subprocess.run(
        ["sh", "-c", command], input=stdin, capture_output=True, check=False, env={**os.environ, **environment}
    )


def request(directory: Path, **changes: Any) -> dict[str, Any]:
    """What the controller sends when nothing is to do, with these changes."""
    nothing: dict[str, Any] = {
        "directory": str(directory),
        "endpoint": "http://127.0.0.1:1",
        "source": "",
        "token": None,
        "models": {},
        "verify": {},
        "restore": {},
        "aside": [],
        "expired": [],
        "tool": "test",
    }
    return {**nothing, **changes}


def converge(directory: Path, source: Path, entry: Mapping[str, Any] = GUARD, **changes: Any) -> None:
    """Fetch one model from a directory or tarball."""
    directory.mkdir(exist_ok=True)
    fetch.converge(directory, request(directory, **{"source": str(source), "models": {"guard": entry}, **changes}))


def with_metadata(files: Mapping[str, bytes], commit: str = GUARD["revision"]) -> dict[str, bytes]:
    """As `hf download --local-dir` leaves it: the commit, the Hub's digest and a time beside each file."""
    notes = {
        f".cache/huggingface/download/{path}.metadata": (
            f"{commit}\n{sha256(data) if path == WEIGHTS else git_sha1(data)}\n1763900000.123\n".encode()
        )
        for path, data in files.items()
    }
    return {**files, **notes, ".cache/huggingface/.gitignore": b"*", ".cache/huggingface/download/x.lock": b""}


def failing(code: int, words: str) -> Callable[..., Any]:
    """A system call that the disk refuses."""

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(code, words)

    return fail
