"""The two servers.

Faults and measurements, on either port, for tests:
    POST /lab/cut-after?bytes=N[&times=K]   the next K bodies (1) of more than N bytes end after N
    POST /lab/down?for=N                    the next N requests to the Hub are answered 503 (0: up again)
    POST /lab/slow?rate=N                   bytes per second of every body (0: as fast as it goes)
    POST /lab/corrupt?path=P[&times=K]      flip a byte in the middle of the next K answers with file P
    POST /lab/reset                         forget faults and log
    GET  /lab/log                           every request: server, method, path, status, range, bytes sent,
                                            and whether it carried an Authorization header (not its value)
"""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

from tests.lab.hub.models import Library, Repo, Stored

PORT = 8091
CDN_PORT = 8092

GRANTED = "hf_labGrantedGrantedGrantedGrantedGran"
UNGRANTED = "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"
NO_SCOPE = "hf_labNoScopeNoScopeNoScopeNoScopeNoSc"
TOKENS = {GRANTED: "lab-granted", UNGRANTED: "lab-ungranted", NO_SCOPE: "lab-no-scope"}

CHUNK = 256 * 1024


@dataclass
class Served:
    """One request and its answer."""

    server: str
    method: str
    path: str
    status: int = 0
    range: str | None = None
    bytes: int = 0
    authorization: bool = False


@dataclass
class Faults:
    """What goes wrong next."""

    cut_after: int = 0
    cuts: int = 0
    down: int = 0
    rate: int = 0
    corrupt: dict[str, int] = field(default_factory=dict)


class Shared:
    """What both servers know."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.cdn_url = ""
        self.lock = threading.Lock()
        self.faults = Faults()
        self.log: list[Served] = []

    def control(self, verb: str, query: dict[str, str]) -> bool:
        """Do what a POST to /lab/VERB asks for; False if there is no such verb."""
        faults = self.faults
        if verb == "cut-after":
            faults.cut_after, faults.cuts = int(query["bytes"]), int(query.get("times", "1"))
        elif verb == "down":
            faults.down = int(query["for"])
        elif verb == "slow":
            faults.rate = int(query["rate"])
        elif verb == "corrupt":
            faults.corrupt[query["path"]] = int(query.get("times", "1"))
        elif verb == "reset":
            self.faults, self.log = Faults(), []
        else:
            return False
        return True

    def take_cut(self, length: int) -> int | None:
        """After how many bytes this body shall end, if it shall."""
        with self.lock:
            if self.faults.cuts and length > self.faults.cut_after:
                self.faults.cuts -= 1
                return self.faults.cut_after
        return None

    def take_corruption(self, path: str) -> bool:
        """Whether this answer shall be damaged."""
        with self.lock:
            left = self.faults.corrupt.get(path, 0)
            self.faults.corrupt[path] = max(left - 1, 0)
        return left > 0

    def take_down(self) -> bool:
        """Whether this request falls into an outage."""
        with self.lock:
            left = self.faults.down
            self.faults.down = max(left - 1, 0)
        return left > 0


class LabServer(ThreadingHTTPServer):
    """A server that knows the lab's state."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], handler: type[Handler], shared: Shared) -> None:
        self.shared = shared
        super().__init__(address, handler)


class Handler(BaseHTTPRequestHandler):
    """What both hosts have in common: the log, the controls, bodies and ranges."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or every small answer waits 40 ms for an acknowledgement
    label = ""

    @property
    def shared(self) -> Shared:
        """The lab's state."""
        return cast(LabServer, self.server).shared

    def do_GET(self) -> None:
        self._dispatch()

    def do_HEAD(self) -> None:
        self._dispatch()

    def do_POST(self) -> None:
        self._dispatch()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing to standard error: /lab/log says more."""

    def route(self, path: str, query: dict[str, str]) -> None:
        """Answer one request."""
        raise NotImplementedError

    def _dispatch(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        query = {key: values[-1] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.served = Served(
            self.label,
            self.command,
            path,
            range=self.headers.get("Range"),
            authorization="Authorization" in self.headers,
        )
        if path.startswith("/lab/"):
            self._lab(path.removeprefix("/lab/"), query)
            return
        self.shared.log.append(self.served)
        try:
            self.route(path, query)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _lab(self, verb: str, query: dict[str, str]) -> None:
        if verb == "log" and self.command == "GET":
            self.send_json([asdict(served) for served in self.shared.log])
        elif self.command == "POST" and self.shared.control(verb, query):
            self.send_json({})
        else:
            self.refuse(404, "", "no such control")

    def send_json(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """A JSON answer."""
        data = json.dumps(value).encode()
        self.start(status, {"Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(data)
            self.served.bytes += len(data)

    def refuse(self, status: int, code: str, message: str) -> None:
        """An error as the Hub says it: in two headers and in the body."""
        headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
        self.send_json({"error": message}, status, headers)

    def start(self, status: int, headers: dict[str, str]) -> None:
        """Status line and headers."""
        self.served.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def send_file(self, repo: Repo, path: str, file: Stored, headers: dict[str, str]) -> None:
        """A file or the range of it that was asked for, with whatever fault is due."""
        first, last = _range(self.headers.get("Range"), file.size)
        if first > last and file.size:
            self.start(416, {"Content-Range": f"bytes */{file.size}", "Content-Length": "0"})
            return
        length = last - first + 1
        headers = {"Accept-Ranges": "bytes", "Content-Length": str(length), **headers}
        partial = self.headers.get("Range") is not None
        if partial:
            headers["Content-Range"] = f"bytes {first}-{last}/{file.size}"
        self.start(206 if partial else 200, headers)
        if self.command != "HEAD":
            flip = file.size // 2 if self.shared.take_corruption(path) else None
            self._send_body(self.shared.library.root / repo.name / path, first, length, flip)

    def _send_body(self, file: Path, first: int, length: int, flip: int | None) -> None:
        cut = self.shared.take_cut(length)
        left = length if cut is None else cut
        with file.open("rb") as stream:
            stream.seek(first)
            while left:
                position = stream.tell()
                piece = bytearray(stream.read(min(CHUNK, left)))
                if flip is not None and position <= flip < position + len(piece):
                    piece[flip - position] ^= 1
                self.wfile.write(piece)
                self.served.bytes += len(piece)
                left -= len(piece)
                if self.shared.faults.rate:
                    time.sleep(len(piece) / self.shared.faults.rate)
        if cut is not None:
            self.close_connection = True


class HubHandler(Handler):
    """huggingface.co, as far as a download needs it."""

    label = "hub"

    def route(self, path: str, query: dict[str, str]) -> None:
        """Token first, as the Hub does: a wrong one is refused even for public models."""
        if self.shared.take_down():
            self.refuse(503, "", "Service Unavailable")
            return
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in TOKENS:
            self.refuse(401, "", "Invalid credentials in Authorization header")
            return
        if path == "/api/whoami-v2":
            self._whoami(token)
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/.*)?", path):
            self._api(match[1], match[2] or "", query, token)
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._resolve(match[1], match[2], match[3], token)
        else:
            self.refuse(404, "", "Not Found")

    def _whoami(self, token: str) -> None:
        if not token:
            self.refuse(401, "", "Invalid username or password.")
            return
        self.send_json({"type": "user", "name": TOKENS[token], "auth": {"type": "access_token"}})

    def _repo(self, name: str, revision: str | None, token: str) -> Repo | None:
        """The repository, or None after a refusal."""
        repo = self.shared.library.repos.get(name)
        if repo is None:
            self.refuse(404 if token else 401, "RepoNotFound", "Repository not found")
        elif revision not in (None, "main", repo.revision):
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return repo
        return None

    def _behind_the_gate(self, repo: Repo, token: str) -> bool:
        """Whether this caller may have the content; a refusal is sent if not."""
        if not repo.gated or token == GRANTED:
            return True
        restricted = f"Access to model {repo.name} is restricted"
        if not token:
            self.refuse(
                401,
                "GatedRepo",
                f"{restricted}. You must have access to it and be authenticated to access it. Please log in.",
            )
        elif token == NO_SCOPE:
            self.refuse(
                403,
                "",
                "Please enable access to public gated repositories in your fine-grained token settings to view "
                "this repository.",
            )
        else:
            self.refuse(403, "GatedRepo", f"{restricted} and you are not in the authorized list.")
        return False

    def _api(self, name: str, rest: str, query: dict[str, str], token: str) -> None:
        verb, _, argument = rest.lstrip("/").partition("/")
        revision = argument.split("/")[0] if verb in ("revision", "tree", "paths-info") else None
        repo = self._repo(name, revision, token)
        if repo is None:
            return
        if verb in ("", "revision"):
            self.send_json(_model_info(repo, blobs=query.get("blobs", "").lower() == "true"))
        elif verb == "tree":
            self.send_json(_tree(repo))
        elif verb == "paths-info":
            wanted = _wanted_paths(self.body)
            self.send_json([entry for entry in _tree(repo) if entry["path"] in wanted])
        elif verb == "auth-check":
            if self._behind_the_gate(repo, token):
                self.send_json({})
        else:
            self.refuse(404, "", "Not Found")

    def _resolve(self, name: str, revision: str, path: str, token: str) -> None:
        repo = self._repo(name, revision, token)
        if repo is None or not self._behind_the_gate(repo, token):
            return
        file = repo.files.get(path)
        if file is None:
            self.refuse(404, "EntryNotFound", "Entry not found")
            return
        headers = {"X-Repo-Commit": repo.revision, "ETag": f'"{file.oid}"'}
        if not file.large:
            self.send_file(repo, path, file, headers)
            return
        headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size), "Content-Length": "0"}
        where = f"{self.shared.cdn_url}/{repo.name}/{file.sha256}?X-Expires=3600&X-Signature=lab"
        self.start(302, {**headers, "Location": where})


class CdnHandler(Handler):
    """The host with the large files. It checks the signed address, never a token."""

    label = "cdn"

    def route(self, path: str, query: dict[str, str]) -> None:
        """`/ORG/NAME/SHA256?X-Signature=…`."""
        name, _, digest = path.strip("/").rpartition("/")
        repo = self.shared.library.repos.get(name)
        found = [(p, f) for p, f in (repo.files.items() if repo else ()) if f.sha256 == digest]
        if query.get("X-Signature") != "lab" or repo is None or not found:
            self.refuse(403, "", "Access denied")
            return
        self.send_file(repo, *found[0], {"ETag": f'"{digest}"', "Content-Type": "application/octet-stream"})


def _model_info(repo: Repo, *, blobs: bool) -> dict[str, Any]:
    siblings = [{"rfilename": path, **(_blob(file) if blobs else {})} for path, file in repo.files.items()]
    return {
        "_id": repo.revision[:24],
        "id": repo.name,
        "modelId": repo.name,
        "sha": repo.revision,
        "private": False,
        "gated": "manual" if repo.gated else False,
        "disabled": False,
        "tags": [f"license:{repo.licence}"],
        "cardData": {"license": repo.licence},
        "downloads": 0,
        "likes": 0,
        "lastModified": "2026-01-01T00:00:00.000Z",
        "siblings": siblings,
    }


def _blob(file: Stored) -> dict[str, Any]:
    lfs = {"lfs": {"sha256": file.sha256, "size": file.size, "pointerSize": 134}} if file.large else {}
    return {"size": file.size, "blobId": file.oid, **lfs}


def _tree(repo: Repo) -> list[dict[str, Any]]:
    """Files, and the directories that they are in."""
    folders = sorted({path.rpartition("/")[0] for path in repo.files if "/" in path})
    entries: list[dict[str, Any]] = [
        {"type": "directory", "oid": "0" * 40, "size": 0, "path": folder} for folder in folders
    ]
    for path, file in repo.files.items():
        lfs = {"lfs": {"oid": file.sha256, "size": file.size, "pointerSize": 134}} if file.large else {}
        entries.append({"type": "file", "oid": file.oid, "size": file.size, "path": path, **lfs})
    return entries


def _wanted_paths(body: bytes) -> set[str]:
    """The client sends a form or JSON, by version."""
    if body.startswith(b"{"):
        return set(json.loads(body)["paths"])
    return set(parse_qs(body.decode()).get("paths", []))


def _range(header: str | None, size: int) -> tuple[int, int]:
    """First and last byte of `bytes=A-B`, `bytes=A-` or `bytes=-N`."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
    if match is None:
        return 0, size - 1
    if not match[1]:
        return max(size - int(match[2]), 0), size - 1
    return int(match[1]), min(int(match[2] or size - 1), size - 1)


def serve(library: Library, address: str, port: int = 0, cdn_port: int = 0) -> tuple[LabServer, LabServer]:
    """Both servers, already answering in threads; port 0 takes any free one."""
    shared = Shared(library)
    cdn = LabServer((address, cdn_port), CdnHandler, shared)
    shared.cdn_url = f"http://{address}:{cdn.server_port}"
    hub = LabServer((address, port), HubHandler, shared)
    for server in (cdn, hub):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    return hub, cdn
