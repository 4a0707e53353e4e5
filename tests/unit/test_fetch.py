"""The fetcher against the lab's Hub, both in this process: real client, real sockets, real files."""

import errno
import io
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from deploys.models import download, fetch, store
from deploys.models.catalog import Model
from deploys.models.hub import Hub, RefusedError, Source, UnreachableError
from deploys.models.progress import Progress
from deploys.models.state import pending, read_provenance
from tests.lab.hub import GRANTED, NO_SCOPE, UNGRANTED, content, models
from tests.lab.hub.server import LabServer, Shared, serve

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
GUARD: dict[str, Any] = {
    **VOXTRAL,
    "repo": "meta-llama/Llama-Guard-3-1B",
    "revision": "acf7aafa60f0410f8f42b1fa35e077d705892029",
    "architecture": "llama_guard_3",
    "include": ["*"],
    "exclude": ["original/*"],
    "gated": True,
}
WRONG = {**VOXTRAL, "repo": "mistralai/Voxtral-Mini-3B-2507", "revision": "3b" * 20, "include": ["*"]}
WEIGHTS = "consolidated.safetensors"


@dataclass
class Lab:
    """The servers and a directory to fetch into."""

    shared: Shared
    url: str
    directory: Path

    def run(self, token: str | None = GRANTED, **entries: dict[str, Any]) -> None:
        """Fetch these models."""
        with store.only_one(self.directory):
            fetch.fetch(self.directory, Hub(self.url, token), entries)

    def sent(self, server: str) -> int:
        """Bytes of bodies, so far."""
        return sum(served.bytes for served in self.shared.log if served.server == server)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> models.Library:
    root = tmp_path_factory.mktemp("hub")
    models.write(
        root,
        {VOXTRAL["repo"]: content.voxtral(), GUARD["repo"]: content.guard(), WRONG["repo"]: content.mini()},
    )
    return models.load(root)


@pytest.fixture(scope="session")
def servers(library: models.Library) -> Iterator[LabServer]:
    hub, cdn = serve(library, "127.0.0.1")
    yield hub
    for server in (hub, cdn):
        server.shutdown()
        server.server_close()


@pytest.fixture
def lab(servers: LabServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr(download, "PATIENCE_S", 0.01)
    servers.shared.control("reset", {})
    return Lab(servers.shared, f"http://127.0.0.1:{servers.server_port}", tmp_path)


def test_models_come_into_place_with_provenance(lab: Lab, library: models.Library) -> None:
    lab.run(voxtral=VOXTRAL, guard=GUARD)
    for name, entry in (("voxtral", VOXTRAL), ("guard", GUARD)):
        provenance = read_provenance((lab.directory / name / ".provenance.json").read_text())
        assert provenance is not None
        assert provenance["revision"] == entry["revision"]
        for path, record in provenance["files"].items():
            stored = library.repos[entry["repo"]].files[path]
            assert (record["size"], record["sha256"]) == (stored.size, stored.sha256)
            assert (lab.directory / name / path).stat().st_mode & 0o777 == 0o644
    assert not (lab.directory / "guard" / "original").exists()
    assert not list((lab.directory / ".staging").iterdir())


def test_the_token_goes_to_the_hub_alone_and_into_no_file(lab: Lab) -> None:
    lab.run(guard=GUARD)
    seen = {served.server: set[bool]() for served in lab.shared.log}
    for served in lab.shared.log:
        seen[served.server].add(served.authorization)
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
    assert not [served for served in lab.shared.log if "/resolve/" in served.path or served.server == "cdn"]


def test_all_refusals_are_reported_together(lab: Lab) -> None:
    gone, missing = {**VOXTRAL, "revision": "f" * 40}, {**VOXTRAL, "repo": "nobody/nothing"}
    with pytest.raises(RefusedError) as error:
        lab.run(gone=gone, missing=missing)
    assert "gone: mistralai/Voxtral-4B-TTS-2603 has no commit ffff" in str(error.value)
    assert "missing: http" in str(error.value)
    assert "/nobody/nothing does not exist, or is private" in str(error.value)


def test_an_absent_hub_is_named(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"The line to http://127.0.0.1:1 .* weights_endpoint"):
        fetch.fetch(tmp_path, Hub("http://127.0.0.1:1", None), {"voxtral": VOXTRAL})


def test_something_that_is_not_a_hub_is_named(tmp_path: Path) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>Welcome</html>")

        def log_message(self, *args: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.raises(RefusedError, match="does not answer like a Hub"):
        fetch.fetch(tmp_path, Hub(f"http://127.0.0.1:{server.server_port}", None), {"voxtral": VOXTRAL})
    server.shutdown()
    server.server_close()


def test_a_full_disk_is_said_without_a_traceback(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    request = {"directory": str(lab.directory), "endpoint": lab.url, "token": None, "models": {"voxtral": VOXTRAL}}
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(request) + "\n"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download.Downloads, "fetch", full)
    assert fetch.main() == 1
    assert "is full. The models in place are untouched" in capsys.readouterr().err


def test_a_cut_line_is_resumed_where_it_was_cut(lab: Lab, library: models.Library) -> None:
    lab.shared.control("cut-after", {"bytes": "3000000", "times": "2"})
    lab.run(voxtral=VOXTRAL)
    size = library.repos[VOXTRAL["repo"]].files[WEIGHTS].size
    ranges = [
        served.range
        for served in lab.shared.log
        if served.server == "cdn" and served.bytes > 500_000 and served.method == "GET"
    ]
    assert ranges == [None, "bytes=3000000-", "bytes=6000000-"]
    assert lab.sent("cdn") < size + 300_000


def test_what_a_killed_run_left_is_not_fetched_again(lab: Lab, library: models.Library) -> None:
    staging = store.Staging(lab.directory, "voxtral", VOXTRAL["revision"])
    staging.path.mkdir(parents=True)
    data = (library.root / VOXTRAL["repo"] / WEIGHTS).read_bytes()
    staging.part(WEIGHTS).write_bytes(data[:5_000_000])
    lab.run(voxtral=VOXTRAL)
    assert lab.sent("cdn") < len(data) - 5_000_000 + 300_000
    assert (lab.directory / "voxtral" / WEIGHTS).read_bytes() == data


def test_a_line_that_stays_dead_ends_the_run_and_keeps_what_came(lab: Lab) -> None:
    lab.shared.control("cut-after", {"bytes": "1000000", "times": "1"})
    staging = store.Staging(lab.directory, "voxtral", VOXTRAL["revision"])

    def outage(_: float) -> None:
        lab.shared.control("down", {"for": "100"})

    jobs = download.Downloads(
        Hub(lab.url, None), Source(VOXTRAL["repo"], VOXTRAL["revision"]), staging, Progress(0), outage
    )
    size = 8_000_000
    with pytest.raises(UnreachableError):
        jobs.fetch(WEIGHTS, store.Expected(size))
    assert staging.part(WEIGHTS).stat().st_size == 1_000_000


@pytest.mark.parametrize("path", [WEIGHTS, "params.json"])
def test_a_damaged_file_is_fetched_once_more(lab: Lab, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    lab.run(voxtral=VOXTRAL)
    (lab.directory / "voxtral" / path).unlink()
    lab.shared.control("corrupt", {"path": path, "times": "1"})
    jobs = fetch._job(lab.directory, "voxtral", VOXTRAL)
    hub = Hub(lab.url, None)
    listing = hub.listing(jobs.source)
    expected = fetch._expected(jobs, listing[path])
    download.Downloads(hub, jobs.source, jobs.staging, Progress(expected.size)).fetch(path, expected)
    assert f"{path} arrived damaged" in capsys.readouterr().out


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


def test_a_pin_that_the_hub_contradicts_is_refused_before_any_byte(lab: Lab) -> None:
    entry = {**VOXTRAL, "files": {WEIGHTS: {"sha256": "0" * 64, "size": None}}}
    with pytest.raises(RefusedError, match=f"{WEIGHTS} has sha256 [0-9a-f]+, the catalog pins 0000"):
        lab.run(voxtral=entry)


def test_too_little_room_is_said_before_any_byte(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "HEADROOM", 10**18)
    with pytest.raises(store.DiskError, match="are to be fetched"):
        lab.run(voxtral=VOXTRAL)
    assert not (lab.directory / ".staging").exists()


def test_two_fetches_at_once_are_refused(lab: Lab) -> None:
    with store.only_one(lab.directory), pytest.raises(store.DiskError, match="Another fetch"):
        lab.run(voxtral=VOXTRAL)


def test_after_a_fetch_nothing_is_pending(lab: Lab) -> None:
    lab.run(voxtral=VOXTRAL)
    place = lab.directory / "voxtral"
    found = {p.relative_to(place).as_posix(): p.stat().st_size for p in place.rglob("*") if p.is_file()}
    del found[store.PROVENANCE]
    provenance = read_provenance((place / store.PROVENANCE).read_text())
    model = Model(name="voxtral", **VOXTRAL)
    assert pending({"voxtral": model}, {"voxtral": {"provenance": provenance, "files": found}}) == []
