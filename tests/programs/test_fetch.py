"""The fetcher against the lab's Hub, both in this process: real client, real sockets, real files."""

import errno
import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from on_host.weights import fetch, part, progress, store, window
from on_host.weights.digest import Expected
from on_host.weights.origin import RefusedError, UnreachableError
from tests.lab.hub import GRANTED, NO_SCOPE, UNGRANTED, content, models
from tests.lab.hub.server import LabServer, Shared, serving
from tests.unit import weights
from voicestack.weights.state import plan, read_provenance

VOXTRAL: dict[str, Any] = {
    "repo": "mistralai/Voxtral-4B-TTS-2603",
    "revision": "b81be46c3777f88621676791b512bb01dc1cb970",
    "architecture": "voxtral_tts",
    "include": ["consolidated.safetensors", "params.json", "tekken.json", "voice_embedding/*"],
    "exclude": [],
    "files": {},
    "licence": "CC-BY-NC-4.0",
    "gated": False,
}
GUARD: dict[str, Any] = {**weights.GUARD, "gated": True}
WRONG = {**VOXTRAL, "repo": "mistralai/Voxtral-Mini-3B-2507", "revision": "3b" * 20, "include": ["*"]}
WEIGHTS = "consolidated.safetensors"
SEGMENT = 256 * 1024
MARK_EVERY = 512 * 1024


@dataclass
class Lab:
    """The servers and a directory to fetch into."""

    shared: Shared
    url: str
    directory: Path

    def request(self, token: str | None = GRANTED, **models: dict[str, Any]) -> dict[str, Any]:
        """What the controller would send to have these models fetched."""
        return weights.request(self.directory, endpoint=self.url, token=token, models=models)

    def run(self, token: str | None = GRANTED, **models: dict[str, Any]) -> None:
        """Fetch these models."""
        self.converge(self.request(token, **models))

    def converge(self, request: dict[str, Any]) -> None:
        """Do what a request says."""
        with store.only_one(self.directory):
            fetch.converge(self.directory, request)

    def sent(self, server: str) -> int:
        """Bytes of bodies, so far."""
        return sum(served["bytes"] for served in self.shared.log if served["server"] == server)


def few_voices() -> dict[str, bytes]:
    """Voxtral with two of its voices: each file costs two requests in every test."""
    files = content.voxtral()
    params = json.loads(files["params.json"])
    kept = {"de_male": 0, "de_female": 1}
    params["multimodal"]["audio_tokenizer_args"]["voice"] = kept
    others = [path for path in files if path.endswith(".pt") and Path(path).stem not in kept]
    return {path: data for path, data in files.items() if path not in others} | {"params.json": content.text(params)}


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> models.Library:
    root = tmp_path_factory.mktemp("hub")
    models.write(
        root,
        {VOXTRAL["repo"]: few_voices(), GUARD["repo"]: content.guard(), WRONG["repo"]: content.mini()},
    )
    return models.load(root)


@pytest.fixture(scope="session")
def servers(library: models.Library) -> Iterator[LabServer]:
    with serving(library) as hub:
        yield hub


@pytest.fixture
def lab(servers: LabServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    for module in (fetch, window):
        monkeypatch.setattr(module, "PATIENCE_S", 0.01)
    monkeypatch.setattr(window, "SEGMENT", SEGMENT)
    monkeypatch.setattr(part, "MARK_EVERY", MARK_EVERY)
    servers.shared.control("reset", {})
    return Lab(servers.shared, f"http://127.0.0.1:{servers.server_port}", tmp_path)


def after_pieces(monkeypatch: pytest.MonkeyPatch, count: int, happen: Callable[[], object]) -> None:
    """Something happens once so many pieces of files are on the disk."""
    write = part.Part.write
    left = iter(range(count - 1, -1, -1))

    def write_and_count(self: part.Part, piece: bytes) -> None:
        write(self, piece)
        if next(left, None) == 0:
            happen()

    monkeypatch.setattr(part.Part, "write", write_and_count)


def test_models_come_into_place_with_provenance(lab: Lab, library: models.Library) -> None:
    catalog = {"voxtral": VOXTRAL, "guard": GUARD}
    lab.run(voxtral=VOXTRAL, guard=GUARD)
    for name, entry in catalog.items():
        provenance = read_provenance((lab.directory / name / store.PROVENANCE).read_text())
        assert provenance is not None
        for path, record in provenance.files.items():
            stored = library.repos[entry["repo"]].files[path]
            assert (record.size, record.sha256) == (stored.size, stored.sha256)
            assert (lab.directory / name / path).stat().st_mode & 0o777 == 0o644
    assert not (lab.directory / "guard" / "original").exists()
    assert not list((lab.directory / ".staging").iterdir())
    wanted = {name: weights.model(entry, name) for name, entry in catalog.items()}
    assert plan(wanted, weights.observe(lab.directory, *catalog), 0).nothing


def test_the_token_goes_to_the_hub_alone_and_into_no_file(lab: Lab) -> None:
    lab.run(guard=GUARD)
    seen = {served["server"]: set[bool]() for served in lab.shared.log}
    for served in lab.shared.log:
        seen[served["server"]].add(served["authorization"])
    assert seen == {"hub": {True}, "cdn": {False}}
    files = [file for file in lab.directory.rglob("*") if file.is_file()]
    assert not any(GRANTED.encode() in file.read_bytes() for file in files)


def test_the_wrong_variant_is_refused_for_kilobytes(lab: Lab) -> None:
    with pytest.raises(RefusedError, match="Voxtral-Mini-3B-2507 \\(it transcribes"):
        lab.run(voxtral=WRONG, guard=GUARD)
    assert lab.sent("hub") + lab.sent("cdn") < 100_000
    assert [path.name for path in lab.directory.iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (None, "is gated and no token was given. Ask for access on http://.*/meta-llama/Llama-Guard-3-1B"),
        ("hf_nonsense", "does not know the token in HF_TOKEN"),
        (UNGRANTED, "its account has no access to meta-llama/Llama-Guard-3-1B"),
        (NO_SCOPE, "Read access to contents of all public gated repos"),
    ],
)
def test_each_gate_has_its_message_before_any_byte_of_any_model(lab: Lab, token: str | None, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        lab.run(token, voxtral=VOXTRAL, guard=GUARD)
    assert not [served for served in lab.shared.log if "/resolve/" in served["path"] or served["server"] == "cdn"]


def test_all_refusals_are_reported_together(lab: Lab) -> None:
    gone, missing = {**VOXTRAL, "revision": "f" * 40}, {**VOXTRAL, "repo": "nobody/nothing"}
    with pytest.raises(RefusedError) as error:
        lab.run(gone=gone, missing=missing)
    assert "gone: mistralai/Voxtral-4B-TTS-2603 has no commit ffff" in str(error.value)
    assert "missing: http" in str(error.value)
    assert "/nobody/nothing does not exist, or is private" in str(error.value)


def test_an_absent_hub_is_named_once(lab: Lab) -> None:
    lab.url = "http://127.0.0.1:1"
    with pytest.raises(RefusedError, match=r"\Avoxtral: The line to 127.0.0.1:1 .* weights_endpoint\.\Z"):
        lab.run(voxtral=VOXTRAL, guard=GUARD)


def test_a_hub_in_trouble_is_named_after_a_few_tries(lab: Lab) -> None:
    lab.shared.control("down", {"for": "100"})
    with pytest.raises(RefusedError, match=r"has trouble: it answers 503 .* weights_endpoint"):
        lab.run(voxtral=VOXTRAL)
    assert len(lab.shared.log) == fetch.TRIES


def test_a_short_outage_while_gates_are_checked_is_waited_for(lab: Lab) -> None:
    lab.shared.control("down", {"for": "1"})
    lab.run(voxtral=VOXTRAL)
    assert (lab.directory / "voxtral" / WEIGHTS).exists()


def test_a_renamed_repository_is_named(lab: Lab) -> None:
    with pytest.raises(RefusedError, match="mistralai/Voxtral-TTS-4B is now called mistralai/Voxtral-4B-TTS-2603"):
        lab.run(voxtral={**VOXTRAL, "repo": "mistralai/Voxtral-TTS-4B"})


def test_a_signed_address_that_expires_is_asked_for_anew(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    after_pieces(monkeypatch, 15, lambda: lab.shared.control("expire", {}))
    lab.run(voxtral=VOXTRAL)
    assert [served["status"] for served in lab.shared.log if served["server"] == "cdn"].count(403)


def test_a_mirror_without_ranges_is_refused(lab: Lab) -> None:
    lab.shared.control("no-ranges", {"on": "1"})
    with pytest.raises(RefusedError, match=r"A mirror must serve byte ranges: choose another weights_endpoint"):
        lab.run(voxtral=VOXTRAL)
    assert not (lab.directory / "voxtral").exists()


def test_something_that_is_not_a_hub_is_named(lab: Lab) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>Welcome</html>")

        def log_message(self, *args: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    lab.url = f"http://127.0.0.1:{server.server_port}"
    with pytest.raises(RefusedError, match="does not answer like a Hub"):
        lab.run(voxtral=VOXTRAL)
    server.shutdown()
    server.server_close()


def test_a_full_disk_is_said_without_a_traceback(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(lab.request(None, voxtral=VOXTRAL)) + "\n"))

    monkeypatch.setattr(part.Part, "write", weights.failing(errno.ENOSPC, "No space left on device"))
    assert fetch.main() == 1
    assert "is full. The models in place are untouched" in capsys.readouterr().err


def test_a_cut_line_is_resumed_where_it_was_cut(lab: Lab, library: models.Library) -> None:
    lab.shared.control("cut-after", {"bytes": "200000", "times": "5"})
    lab.run(voxtral=VOXTRAL)
    repo = library.repos[VOXTRAL["repo"]]
    sizes = [file.size for path, file in repo.files.items() if path == WEIGHTS or path.startswith("voice_")]
    resumed = [served for served in lab.shared.log if served["server"] == "cdn" and served["bytes"] == SEGMENT - 200000]
    assert len(resumed) == 5
    assert lab.sent("cdn") < sum(sizes) + 100_000


def test_a_line_that_stays_dead_ends_the_run_and_what_came_is_not_fetched_again(
    lab: Lab, library: models.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die() -> None:
        lab.shared.control("expire", {})
        lab.shared.control("down", {"for": "1000"})

    after_pieces(monkeypatch, 20, die)
    with pytest.raises(UnreachableError):
        lab.run(voxtral=VOXTRAL)
    files = library.repos[VOXTRAL["repo"]].files
    large = {path: file for path, file in files.items() if path.endswith((".safetensors", ".pt"))}
    staging = store.Staging(lab.directory, "voxtral", VOXTRAL["revision"])
    left = {path: staging.bytes_left(path, Expected(file.size, file.sha256)) for path, file in large.items()}
    assert left[WEIGHTS] < files[WEIGHTS].size - MARK_EVERY
    lab.shared.control("reset", {})
    lab.run(voxtral=VOXTRAL)
    assert lab.sent("cdn") < sum(left.values()) + 10_000
    data = (library.root / VOXTRAL["repo"] / WEIGHTS).read_bytes()
    assert (lab.directory / "voxtral" / WEIGHTS).read_bytes() == data


@pytest.mark.parametrize("path", [WEIGHTS, "params.json", "voice_embedding/de_female.pt"])
def test_a_file_that_arrives_damaged_is_fetched_once_more(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    """The small files are read by the architecture check too: the damage comes after it."""
    check = store.check_space

    def then_damage(*arguments: Any) -> None:
        check(*arguments)
        lab.shared.control("corrupt", {"path": path, "times": "1"})

    monkeypatch.setattr("on_host.weights.fetch.check_space", then_damage)
    monkeypatch.setattr(window, "SEGMENT", 10**8)
    lab.run(voxtral=VOXTRAL)
    assert f"{path} arrived damaged" in capsys.readouterr().out
    assert (lab.directory / "voxtral" / path).exists()


def test_a_file_that_stays_damaged_installs_nothing(lab: Lab) -> None:
    lab.shared.control("corrupt", {"path": "voice_embedding/de_female.pt", "times": "9"})
    with pytest.raises(RefusedError, match=r"voice_embedding/de_female\.pt arrived damaged twice"):
        lab.run(voxtral=VOXTRAL)
    assert not (lab.directory / "voxtral").exists()


def test_other_content_is_moved_aside_and_right_files_are_kept(lab: Lab) -> None:
    lab.run(voxtral=VOXTRAL)
    place = lab.directory / "voxtral"
    (place / "params.json").write_text("{}")
    (place / "notes.txt").write_text("by hand")
    lab.shared.control("reset", {})
    lab.run(voxtral=VOXTRAL)
    (aside,) = (lab.directory / ".replaced").iterdir()
    assert (aside / "notes.txt").read_text() == "by hand"
    assert not (place / "notes.txt").exists()
    assert json.loads((place / "params.json").read_text())["model_type"] == "voxtral_tts"
    assert lab.sent("cdn") < 10_000  # the header alone


def test_reading_what_is_there_already_shows_progress(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody's own download, without a provenance file: gigabytes are hashed before any is fetched."""
    lab.run(voxtral=VOXTRAL)
    (lab.directory / "voxtral" / store.PROVENANCE).unlink()
    monkeypatch.setattr(progress, "EVERY_S", 0)
    capsys.readouterr()
    lab.run(voxtral=VOXTRAL)
    said = capsys.readouterr().out
    assert re.search(r"voxtral: reading what is there already: [\d.]+ MB of ([\d.]+) MB \(100 %\)", said)
    assert "voxtral: 5 of 5 files are there already, unchanged." in said


def test_too_little_room_is_said_before_any_byte(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "HEADROOM", 10**18)
    with pytest.raises(store.DiskError, match="are to be fetched"):
        lab.run(voxtral=VOXTRAL)
    assert not (lab.directory / ".staging").exists()


def test_two_fetches_at_once_are_refused(lab: Lab) -> None:
    with store.only_one(lab.directory), pytest.raises(store.DiskError, match="Another fetch"):
        lab.run(voxtral=VOXTRAL)
