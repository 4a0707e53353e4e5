"""HTTP as vLLM's API server speaks it: the routes both engines share."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .faults import INSIDE, Faults
from .report import log

KEEP_ALIVE_S = 5.0
"""uvicorn closes a connection that was idle for so long (vLLM's VLLM_HTTP_TIMEOUT_KEEP_ALIVE)."""


class ApiError(Exception):
    """An answer in vLLM's error shape."""

    def __init__(
        self, message: str, *, status: int = 400, kind: str = "BadRequestError", param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": status}}


@dataclass(frozen=True)
class Front:
    """Where it listens, under which names the model goes, and which keys open /v1 (none: no key needed)."""

    address: tuple[str, int]
    names: list[str]
    keys: list[str]


class ApiServer(ThreadingHTTPServer):
    """The listening server; what its handlers need to know about the model."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, front: Front, handler: type[Handler], length: int) -> None:
        super().__init__(front.address, handler)
        self.names = front.names
        self.length = length
        self.keys = front.keys
        self.requests = 0
        self.faults = Faults()
        self.inside = INSIDE
        self.keep_alive_s = KEEP_ALIVE_S


class Handler(BaseHTTPRequestHandler):
    """/v1/models, /metrics, errors; a subclass adds its engine's routes."""

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
        if self.path == "/v1/models":
            self.send_json({"object": "list", "data": [self._model(name) for name in self.server.names]})
        elif self.path == "/metrics":
            self.send_body(self._metrics().encode(), "text/plain; version=0.0.4; charset=utf-8")
        elif self.path == "/version":
            self.send_json({"version": "0.18.0"})
        else:
            self.send_json({"detail": "Not Found"}, HTTPStatus.NOT_FOUND)

    def post(self) -> None:
        """Nothing by itself."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_json({"detail": "Not Found"}, HTTPStatus.NOT_FOUND)

    def _model(self, name: str) -> dict[str, Any]:
        return {
            "id": name,
            "object": "model",
            "created": int(time.time()),
            "owned_by": self.owner,
            "root": name,
            "parent": None,
            "max_model_len": self.server.length,
            "permission": [],
        }

    def _metrics(self) -> str:
        label = f'{{model_name="{self.server.names[0]}"}}'
        return (
            "# TYPE vllm:num_requests_running gauge\n"
            f"vllm:num_requests_running{label} 0.0\n"
            "# TYPE vllm:request_success_total counter\n"
            f"vllm:request_success_total{label} {float(self.server.requests)}\n"
        )

    def body(self) -> dict[str, Any]:
        """The request's JSON object."""
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.headers.get("Content-Type", "").startswith("application/json"):
            raise ApiError("Unsupported Media Type: Only 'application/json' is allowed", status=415)
        try:
            content = json.loads(raw)
        except ValueError as error:
            raise ApiError(f"1 validation error:\n  JSON decode error: {error}") from error
        if not isinstance(content, dict):
            raise ApiError("1 validation error:\n  Input should be a valid dictionary")
        return content

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

    def send_body(self, content: bytes, kind: str, status: int = 200) -> None:
        """A complete answer."""
        self.send_response(status)
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
