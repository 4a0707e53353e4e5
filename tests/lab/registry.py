"""The lab's container registry: Debian's docker-registry, with the lab's images under the names Docker Hub uses.

A lab host's Docker takes it as its mirror of docker.io (`registry-mirrors`), so a deploy names images as everywhere.
"""

from __future__ import annotations

import hashlib
import http.client
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from tests.lab.console import say
from tests.lab.daemon import Daemon, LabError
from tests.lab.images import MANIFEST_TYPE, Image, all_images, digest
from tests.lab.places import CACHE, STATE

PORT = 5000
_DAEMON = Daemon("registry")
_CONFIG = """\
version: 0.1
log:
  level: warn
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: {storage}
  delete:
    enabled: true
http:
  addr: {address}:{port}
"""


def ensure(address: str) -> dict[str, object]:
    """Run the registry and have every image in it; returns its URL."""
    _serve(address)
    client = _Client(address)
    images = all_images()
    for image in images:
        client.push(image)
    return {"url": f"http://{address}:{PORT}", "images": {image.name: image.digest for image in images}}


def _serve(address: str) -> None:
    """Start the daemon, unless it runs with this very configuration."""
    program = shutil.which("docker-registry")
    if program is None:
        raise LabError("docker-registry is missing: apt-get install docker-registry")
    text = _CONFIG.format(storage=CACHE / "registry", address=address, port=PORT)
    # The name carries the content: a changed configuration is another command, which replaces the daemon.
    config = STATE / "run" / f"registry-{hashlib.sha256(text.encode()).hexdigest()[:12]}.yml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(text)
    _DAEMON.serve([program, "serve", config], address, PORT)


class _Client:
    """As much of the registry's HTTP API as pushing needs."""

    def __init__(self, address: str) -> None:
        self._address = address

    def push(self, image: Image) -> None:
        """Upload what the registry lacks; an image that is there already costs one request."""
        manifest = f"/v2/{image.repository}/manifests/{image.tag}"
        status, headers = self._request("HEAD", manifest, headers={"Accept": MANIFEST_TYPE})
        if status == 200 and headers.get("docker-content-digest") == image.digest:
            return
        say(f"pushing {image.name}")
        for layer in image.layers:
            with Path(layer.path).open("rb") as content:
                self._put_blob(image.repository, layer.digest, layer.size, content)
        self._put_blob(image.repository, digest(image.config), len(image.config), image.config)
        self._expect(201, "PUT", manifest, image.manifest, {"Content-Type": MANIFEST_TYPE})

    def _put_blob(self, repository: str, name: str, size: int, content: bytes | IO[bytes]) -> None:
        status, _ = self._request("HEAD", f"/v2/{repository}/blobs/{name}")
        if status == 200:
            return
        headers = self._expect(202, "POST", f"/v2/{repository}/blobs/uploads/")
        place = urlsplit(headers["location"])
        kind = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self._expect(201, "PUT", f"{place.path}?{place.query}&digest={name}", content, kind)

    def _expect(
        self,
        expected: int,
        method: str,
        path: str,
        body: bytes | IO[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Mapping[str, str]:
        status, answered = self._request(method, path, body, headers)
        if status != expected:
            raise LabError(f"registry: {method} {path}: HTTP {status}; see {_DAEMON.log}")
        return answered

    def _request(
        self,
        method: str,
        path: str,
        body: bytes | IO[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Mapping[str, str]]:
        connection = http.client.HTTPConnection(self._address, PORT, timeout=120)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            response.read()
            return response.status, {name.lower(): value for name, value in response.getheaders()}
        finally:
            connection.close()
