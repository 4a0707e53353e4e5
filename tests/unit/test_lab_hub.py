"""The lab's Hub refuses what the real one refuses: asked with plain HTTP, and with the real client where it matters."""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from huggingface_hub import HfApi, RepoFile, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError

from tests.lab.daemon import await_condition
from tests.lab.hub import content, models
from tests.lab.hub.models import NEWER, VOXTRAL, WEIGHTS
from tests.lab.hub.pace import CREDIT_S
from tests.lab.hub.server import LabServer, Shared, serving

PINNED = "b81be46c3777f88621676791b512bb01dc1cb970"
OLD_NAME = "mistralai/Voxtral-TTS-4B"
LOOKALIKES = {"lab-mirror/Voxtral-4B-TTS-2603": "3c" * 20, "lab-mirror/Voxtral-4B-TTS": "3d" * 20}
LONG = "long.safetensors"
LONG_SIZE = 32 << 20  # more than the buffers of two sockets hold

TINY: content.Tensors = {"layers.0.attention.wq.weight": [128, 3072]}


@dataclass(frozen=True)
class Answer:
    """What came back; redirects are not followed."""

    status: int
    headers: Message
    body: bytes


@dataclass(frozen=True)
class Lab:
    """The servers, and how a test talks to them."""

    shared: Shared
    hub: str

    @property
    def api(self) -> HfApi:
        return HfApi(endpoint=self.hub, token=False)

    def ask(self, target: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Answer:
        """One request; `target` is a path on the Hub or a whole address."""
        url = urlsplit(target if "://" in target else self.hub + target)
        line = HTTPConnection(url.netloc, timeout=10)
        try:
            line.request(method, url._replace(scheme="", netloc="").geturl(), headers=dict(headers or {}))
            answer = line.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            line.close()

    def control(self, verb: str) -> None:
        assert self.ask(f"/lab/{verb}", "POST").status == 200

    def address(self, path: str = WEIGHTS, revision: str = PINNED) -> str:
        """Where the Hub sends a client for a large file."""
        answer = self.ask(f"/{VOXTRAL}/resolve/{revision}/{path}")
        assert answer.status == 302
        return answer.headers["Location"]

    def log(self) -> list[dict[str, Any]]:
        answered: list[dict[str, Any]] = json.loads(self.ask("/lab/log").body)
        return answered

    def last(self) -> dict[str, Any]:
        return self.shared.log[-1]

    def await_last(self, what: str, holds: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until this is true of the last request."""
        await_condition(what, lambda: holds(self.last()), seconds=10, every=0.005)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> models.Library:
    root = tmp_path_factory.mktemp("hub")
    papers = {"params.json": b"{}", "voice_embedding/de_male.pt": b"noise"}
    first = {**papers, WEIGHTS: content.safetensors(TINY, 1), LONG: bytes(LONG_SIZE)}
    models.write(
        root,
        {
            VOXTRAL: first,
            f"{VOXTRAL}@{NEWER}": {**papers, WEIGHTS: content.safetensors(TINY, 2)},
            **{name: {WEIGHTS: content.safetensors(TINY, 3)} for name in LOOKALIKES},
        },
    )
    return models.load(root)


@pytest.fixture(scope="module")
def servers(library: models.Library) -> Iterator[LabServer]:
    with serving(library) as hub:
        yield hub


@pytest.fixture
def lab(servers: LabServer) -> Lab:
    servers.shared.control("reset", {})
    return Lab(servers.shared, f"http://127.0.0.1:{servers.server_port}")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def header_of(weights: bytes) -> dict[str, Any]:
    (length,) = struct.unpack("<Q", weights[:8])
    header: dict[str, Any] = json.loads(weights[8 : 8 + length])
    return header


@pytest.mark.parametrize(("asked", "commit"), [(PINNED, PINNED), (NEWER, NEWER), ("main", NEWER)])
def test_each_commit_has_its_own_content(lab: Lab, library: models.Library, asked: str, commit: str) -> None:
    expected = library.at(VOXTRAL, commit)
    assert expected is not None
    assert lab.api.model_info(VOXTRAL, revision=asked).sha == commit
    (listed,) = lab.api.get_paths_info(VOXTRAL, [WEIGHTS], revision=asked)
    assert isinstance(listed, RepoFile)
    assert listed.lfs is not None
    tree = {entry.path for entry in lab.api.list_repo_tree(VOXTRAL, revision=asked, recursive=True)}
    assert tree == {*expected.files, "voice_embedding"}
    assert lab.ask(f"/{VOXTRAL}/resolve/{asked}/params.json").headers["X-Repo-Commit"] == commit
    body = lab.ask(lab.address(revision=asked)).body
    assert sha256(body) == expected.files[WEIGHTS].sha256 == listed.lfs.sha256


def test_the_pinned_commit_is_the_library_s_and_main_is_not(lab: Lab, library: models.Library) -> None:
    assert library.repos[VOXTRAL].revision == PINNED
    assert sha256((library.root / VOXTRAL / WEIGHTS).read_bytes()) == library.repos[VOXTRAL].files[WEIGHTS].sha256
    assert lab.api.model_info(VOXTRAL).sha == NEWER


def test_an_unknown_commit_and_a_file_of_another_one_are_refused(lab: Lab) -> None:
    with pytest.raises(RevisionNotFoundError):
        lab.api.model_info(VOXTRAL, revision="f" * 40)
    assert lab.ask(f"/{VOXTRAL}/resolve/{'f' * 40}/{WEIGHTS}").headers["X-Error-Code"] == "RevisionNotFound"
    assert lab.ask(f"/{VOXTRAL}/resolve/{NEWER}/{LONG}").headers["X-Error-Code"] == "EntryNotFound"


def test_a_renamed_repository_redirects_to_its_new_name(lab: Lab) -> None:
    answer = lab.ask(f"/api/models/{OLD_NAME}/tree/main?recursive=true")
    assert (answer.status, answer.headers["Location"]) == (307, f"/api/models/{VOXTRAL}/tree/main?recursive=true")
    assert lab.ask(f"/{OLD_NAME}/resolve/main/params.json", "HEAD").headers["Location"] == (
        f"/{VOXTRAL}/resolve/main/params.json"
    )


def test_the_real_client_follows_a_renamed_repository(lab: Lab) -> None:
    info = lab.api.model_info(OLD_NAME, revision=PINNED)
    assert (info.id, info.sha) == (VOXTRAL, PINNED)
    assert [entry.path for entry in lab.api.get_paths_info(OLD_NAME, [WEIGHTS])] == [WEIGHTS]
    url = hf_hub_url(OLD_NAME, WEIGHTS, revision=PINNED, endpoint=lab.hub)
    metadata = get_hf_file_metadata(url, token=False, endpoint=lab.hub)
    assert metadata.commit_hash == PINNED
    assert metadata.location.startswith(lab.shared.cdn_url)


@pytest.mark.parametrize(("name", "revision"), LOOKALIKES.items())
def test_lookalikes_are_public(lab: Lab, name: str, revision: str) -> None:
    assert lab.api.model_info(name).sha == revision
    assert lab.ask(f"/{name}/resolve/{revision}/{WEIGHTS}").status == 302


def test_the_disguised_one_differs_in_its_tensors_alone() -> None:
    true, disguised = content.voxtral(), content.disguised()
    assert {path for path in {*true, *disguised} if true.get(path) != disguised.get(path)} == {WEIGHTS}
    assert {*header_of(disguised[WEIGHTS])} == {"__metadata__", *content.MINI_TENSORS}


def test_addresses_expire_and_new_ones_work(lab: Lab) -> None:
    old = lab.address()
    assert lab.ask(old).status == 200
    lab.control("expire")
    refused = lab.ask(old)
    assert (refused.status, refused.headers["Content-Type"]) == (403, "text/xml")
    assert b"<Message>Request has expired</Message>" in refused.body
    assert lab.ask(lab.address()).status == 200
    lab.control("reset")
    assert lab.ask(old).status == 403


def test_an_address_opens_its_own_file_alone(lab: Lab) -> None:
    address, other = lab.address(), lab.address(LONG)
    path, query = address.partition("?")[::2]
    for forged in (path, f"{other.partition('?')[0]}?{query}", f"{path}?X-Signature=lab"):
        answer = lab.ask(forged)
        assert answer.status == 403
        assert b"<Message>Access denied</Message>" in answer.body


def test_a_cdn_without_ranges_sends_the_whole_file(lab: Lab, library: models.Library) -> None:
    some = {"Range": "bytes=8-15"}
    size = library.repos[VOXTRAL].files[WEIGHTS].size
    lab.control("no-ranges?on=1")
    whole = lab.ask(lab.address(), headers=some)
    assert (whole.status, len(whole.body), whole.headers["Content-Range"]) == (200, size, None)
    assert lab.ask(f"/{VOXTRAL}/resolve/main/params.json", headers={"Range": "bytes=0-0"}).status == 206
    lab.control("no-ranges?on=0")
    part = lab.ask(lab.address(), headers=some)
    assert (part.status, part.body, part.headers["Content-Range"]) == (206, whole.body[8:16], f"bytes 8-15/{size}")


@pytest.mark.parametrize(
    ("asked", "status", "begin", "end"),
    [("bytes=5-", 206, 5, None), ("bytes=-5", 206, -5, None), ("bytes=x", 200, 0, None), ("bytes=999999-", 416, 0, 0)],
)
def test_ranges(lab: Lab, library: models.Library, asked: str, status: int, begin: int, end: int | None) -> None:
    answer = lab.ask(lab.address(), headers={"Range": asked})
    data = (library.root / VOXTRAL / WEIGHTS).read_bytes()
    assert (answer.status, answer.body) == (status, data[begin:end])


def test_the_rate_limit_says_when_to_come_back(lab: Lab) -> None:
    address = lab.address()
    lab.control("throttle?for=2&retry-after=7")
    refused = lab.ask(f"/{VOXTRAL}/resolve/main/params.json")
    assert (refused.status, refused.headers["Retry-After"]) == (429, "7")
    assert lab.ask(address).status == 200
    with pytest.raises(HfHubHTTPError, match="Retry after 7 seconds") as error:
        lab.api.model_info(VOXTRAL)
    assert "We had to rate limit your IP (127.0.0.1)." in str(error.value)
    assert lab.api.model_info(VOXTRAL).id == VOXTRAL
    lab.control("throttle?for=1")
    assert lab.ask("/api/whoami-v2").headers["Retry-After"] == "1"


def test_one_limit_holds_for_all_connections_together(lab: Lab) -> None:
    addresses = [lab.address() for _ in range(4)]
    lab.control("slow?rate=2000000")
    began = time.monotonic()
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda address: lab.ask(address, headers={"Range": "bytes=0-99999"}), addresses))
    assert time.monotonic() - began >= 400_000 / 2_000_000 - CREDIT_S
    assert [len(answer.body) for answer in answers] == [100_000] * 4


def test_a_new_rate_reaches_bodies_that_are_under_way(lab: Lab) -> None:
    address = lab.address(LONG)
    lab.control("slow?rate=100")
    with ThreadPoolExecutor() as pool:
        body = pool.submit(lab.ask, address)
        lab.await_last("the first bytes", lambda its: its["bytes"] > 0)
        lab.control("slow?rate=0")
        assert len(body.result(timeout=10).body) == LONG_SIZE


def test_a_rate_may_begin_after_so_many_bytes(lab: Lab) -> None:
    address = lab.address(LONG)
    lab.control("slow?rate=100&after=50000")
    with ThreadPoolExecutor() as pool:
        body = pool.submit(lab.ask, address)
        lab.await_last("what goes at once", lambda its: its["bytes"] >= 50_000)
        assert lab.last()["bytes"] < LONG_SIZE
        lab.control("slow?rate=0")
        assert len(body.result(timeout=10).body) == LONG_SIZE


def test_the_log_follows_a_body_and_counts_what_a_leaving_client_got(lab: Lab) -> None:
    url = urlsplit(lab.address(LONG))
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        line.connect((url.hostname or "", url.port or 0))
        line.sendall(f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: cdn\r\n\r\n".encode())
        await_condition("bytes in the log", lambda: lab.log()[-1]["bytes"] > 0, seconds=10, every=0.005)
        assert not lab.last()["done"]
    lab.await_last("the end of the answer", lambda its: its["done"])
    assert 0 < lab.last()["bytes"] < LONG_SIZE


def test_the_log_counts_whole_bodies(lab: Lab) -> None:
    assert lab.ask(lab.address(LONG)).body == bytes(LONG_SIZE)
    lab.await_last("the end of the answer", lambda its: its["done"])
    expected = {"server": "cdn", "status": 200, "bytes": LONG_SIZE, "range": None, "authorization": False}
    assert lab.last().items() >= expected.items()
    small = lab.ask("/api/whoami-v2").body
    lab.await_last("the end of the small answer", lambda its: its["done"] and its["server"] == "hub")
    assert lab.last()["bytes"] == len(small) > 0


def test_sixteen_connections_at_once(lab: Lab) -> None:
    addresses = [lab.address() for _ in range(16)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda address: lab.ask(address, headers={"Range": "bytes=0-7"}), addresses))
    assert {answer.status for answer in answers} == {206}
    assert sum(served["server"] == "cdn" for served in lab.shared.log) == 16


def test_a_cut_ends_one_body_and_a_damaged_byte_is_one(lab: Lab, library: models.Library) -> None:
    data = (library.root / VOXTRAL / WEIGHTS).read_bytes()
    lab.control("cut-after?bytes=1000")
    with pytest.raises(IncompleteRead) as cut:
        lab.ask(lab.address())
    assert cut.value.partial == data[:1000]
    lab.control(f"corrupt?path={WEIGHTS}")
    damaged = lab.ask(lab.address()).body
    assert [index for index, (a, b) in enumerate(zip(damaged, data, strict=True)) if a != b] == [len(data) // 2]
    assert lab.ask(lab.address()).body == data


def test_an_outage_may_be_one_clients_alone(lab: Lab) -> None:
    page = f"/api/models/{VOXTRAL}"
    for client, seen in (("192.0.2.7", False), ("127.0.0.1", True)):
        lab.control(f"down?for=9&client={client}")
        assert (lab.ask(page).status == 503) is seen


def test_reset_forgets_every_fault(lab: Lab) -> None:
    for verb in ("throttle?for=9", "no-ranges?on=1", "slow?rate=1", "down?for=9", "cut-after?bytes=1&times=9", "reset"):
        lab.control(verb)
    assert not lab.shared.log
    assert lab.ask(lab.address(), headers={"Range": "bytes=0-99999"}).status == 206


@pytest.mark.parametrize("verb", ["nonsense", "slow", "slow?rate=fast", "no-ranges"])
def test_a_control_that_means_nothing_is_refused(lab: Lab, verb: str) -> None:
    assert lab.ask(f"/lab/{verb}", "POST").status == 404


def test_large_weights_are_what_their_index_says(tmp_path: Path) -> None:
    wanted = 13_000_000
    models.write_large(tmp_path, wanted)
    library = models.load(tmp_path)
    stored = library.repos[VOXTRAL].files[WEIGHTS]
    data = (tmp_path / VOXTRAL / WEIGHTS).read_bytes()
    assert 0 <= len(data) - wanted < 12_288
    assert (stored.size, stored.sha256, stored.large) == (len(data), sha256(data), True)
    assert library.repos[VOXTRAL].revision == PINNED
    header = header_of(data)
    assert {*header} == {"__metadata__", *content.VOXTRAL_TENSORS}
    end = max(tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__")
    begin = len(data) - end
    assert begin == 8 + struct.unpack("<Q", data[:8])[0]
    assert data[begin:][: content.BLOCK] != data[begin + content.BLOCK :][: content.BLOCK]
