"""HTTP as vLLM's API server speaks it: the routes both engines share."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .faults import INSIDE, Faults
from .refusals import ApiError, Fault, issue, refusal
from .report import log

KEEP_ALIVE_S = 5.0
"""uvicorn closes a connection that was idle for so long (vLLM's VLLM_HTTP_TIMEOUT_KEEP_ALIVE)."""


@dataclass(frozen=True)
class Front:
    """Where it listens, under which names the model goes, and which keys open /v1 (none: no key needed)."""

    address: tuple[str, int]
    names: list[str]
    keys: list[str]
    root: str = "/models/served"


class ApiServer(ThreadingHTTPServer):
    """The listening server; what its handlers need to know about the model."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, front: Front, handler: type[Handler], length: int) -> None:
        super().__init__(front.address, handler)
        self.names = front.names
        self.root = front.root
        self.length = length
        self.keys = front.keys
        self.requests = 0
        self.faults = Faults()
        self.inside = INSIDE
        self.keep_alive_s = KEEP_ALIVE_S


class Handler(BaseHTTPRequestHandler):
    """/v1/models, /metrics, errors; a subclass adds its engine's routes."""

    routes = frozenset({"/health", "/metrics", "/v1/chat/completions", "/v1/models", "/version"})
    """What another method than its own is answered with 405."""

    protocol_version = "HTTP/1.1"
    server: ApiServer
    owner = "vllm"

    def handle_one_request(self) -> None:
        """Answer; the next request must come before the connection counts as idle."""
        super().handle_one_request()
        self.connection.settimeout(self.server.keep_alive_s)

    def parse_request(self) -> bool:
        """A request has begun: from here on its client may take its time."""
        self.connection.settimeout(None)
        return super().parse_request()

    def do_GET(self) -> None:
        """Every reading route."""
        self._answer(self.get)

    def do_POST(self) -> None:
        """Every writing route, and the lab's controls."""
        if not self._controlled():
            self._answer(self.post)

    def _controlled(self) -> bool:
        """Whether this was a control; from outside the container they do not exist."""
        url = urlsplit(self.path)
        if self.client_address[0] != self.server.inside or not url.path.startswith("/lab/"):
            return False
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        known = self.server.faults.control(url.path.removeprefix("/lab/"), dict(parse_qsl(url.query)))
        self.send_json({}, HTTPStatus.OK if known else HTTPStatus.NOT_FOUND)
        return True

    def _answer(self, route: Any) -> None:
        try:
            self._authorise()
            route()
        except ApiError as error:
            self.send_json(error.body, error.status)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _authorise(self) -> None:
        """With --api-key, /v1 needs it."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.server.keys and self.path.startswith("/v1") and token not in self.server.keys:
            self.close_connection = True
            raise ApiError("Unauthorized", status=401, kind="AuthenticationError")

    def get(self) -> None:
        """The routes both engines have; a subclass looks at its own first."""
        if self.path == "/health":
            self.send_body(b"", None)
        elif self.path == "/v1/models":
            self.send_json({"object": "list", "data": [self._model(name) for name in self.server.names]})
        elif self.path == "/metrics":
            self.send_body(self.metrics().encode(), "text/plain; version=1.0.0; charset=utf-8")
        elif self.path == "/version":
            self.send_json({"version": "0.18.0"})
        else:
            self._lost()

    def post(self) -> None:
        """Nothing by itself."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._lost()

    def _lost(self) -> None:
        """No such route, or not with this method."""
        status = HTTPStatus.METHOD_NOT_ALLOWED if self.path in self.routes else HTTPStatus.NOT_FOUND
        self.send_json({"detail": status.phrase}, status)

    def _model(self, name: str) -> dict[str, Any]:
        return {
            "id": name,
            "object": "model",
            "created": int(time.time()),
            "owned_by": self.owner,
            "root": self.server.root,
            "parent": None,
            "max_model_len": self.server.length,
            "permission": [
                {
                    "id": f"modelperm-{uuid.uuid4().hex[:16]}",
                    "object": "model_permission",
                    "created": int(time.time()),
                    **{f"allow_{what}": False for what in ("create_engine", "search_indices", "fine_tuning")},
                    **{f"allow_{what}": True for what in ("sampling", "logprobs", "view")},
                    "organization": "*",
                    "group": None,
                    "is_blocking": False,
                }
            ],
        }

    def metrics(self) -> str:
        """The API server's own figures; vLLM's are a subclass's."""
        return f"# TYPE http_requests_total counter\nhttp_requests_total {float(self.server.requests)}\n"

    def body(self) -> dict[str, Any]:
        """The request's JSON object."""
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.headers.get("Content-Type", "").startswith("application/json"):
            refused = "Unsupported Media Type: Only 'application/json' is allowed"
            raise ApiError(f"1 validation error:\n  {refused} {[refused]}", kind="Bad Request")
        try:
            content = json.loads(raw)
        except json.JSONDecodeError as error:
            raise refusal(
                issue(Fault("json_invalid", "JSON decode error", {"error": error.msg}), {}, error.pos)
            ) from error
        if not isinstance(content, dict):
            raise self.no_object(content)
        return content

    def no_object(self, content: object) -> ApiError:
        """The answer to JSON that is no object."""
        fault = Fault("model_attributes_type", "Input should be a valid dictionary or object to extract fields from")
        return refusal(issue(fault, content))

    def fault(self) -> bool:
        """Let a fault happen that is due for whoever is outside the container; True if it was the answer."""
        if self.client_address[0] == self.server.inside:
            return False
        self.server.faults.delay()
        if not self.server.faults.take_broken():
            return False
        error = ApiError("EngineCore encountered an issue. See stack trace (above) for the root cause.", status=500)
        self.send_json(error.body)
        return True

    def check_model(self, name: object) -> None:
        """No name means the served one; an unknown one is 404."""
        if name is not None and name not in self.server.names:
            message = f"The model `{name}` does not exist."
            raise ApiError(message, status=404, kind="NotFoundError", param="model")

    def send_json(self, content: object, status: int = 200) -> None:
        """A JSON answer."""
        self.send_body(json.dumps(content).encode(), "application/json", status)

    def send_body(self, content: bytes, kind: str | None, status: int = 200) -> None:
        """A complete answer."""
        self.send_response(status)
        if kind is not None:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def send_pieces(self, pieces: Iterable[bytes], kind: str) -> None:
        """A chunked answer, each piece as soon as it is there."""
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_error(self, format: str, *args: object) -> None:
        """Nothing: uvicorn closes idle connections without a word."""

    def log_message(self, format: str, *args: object) -> None:
        """Uvicorn's access line."""
        host, port = self.client_address[:2]
        status = str(args[1]) if len(args) > 1 else ""
        print(f'INFO:     {host}:{port} - "{self.requestline}" {status}', flush=True)


def serve(server: ApiServer) -> None:
    """Say so and answer until the process ends."""
    host, port = server.server_address[:2]
    log("api_server.py:495", f"Starting vLLM API server 0 on http://{host!s}:{port}", process="APIServer")
    print("INFO:     Application startup complete.", flush=True)
    with server:
        server.serve_forever(poll_interval=0.2)
