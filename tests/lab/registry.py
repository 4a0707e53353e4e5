"""The lab's container registry: Debian's docker-registry, with the lab's images under the names Docker Hub uses.

A lab host's Docker takes it as its mirror of docker.io (`registry-mirrors`), so a deploy names images as everywhere.
"""

from __future__ import annotations

import shutil
from email.message import Message
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from tests.lab.console import say
from tests.lab.daemon import Daemon, LabError
from tests.lab.disk import content_hash
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
    url = _serve(address)
    for image in all_images():
        push(url, image)
    return {"url": url}


def _serve(address: str) -> str:
    """Start the daemon, unless it runs with this very configuration."""
    program = shutil.which("docker-registry")
    if program is None:
        raise LabError("docker-registry is missing: apt-get install docker-registry")
    text = _CONFIG.format(storage=CACHE / "registry", address=address, port=PORT)
    # The name carries the content: a changed configuration is another command, which replaces the daemon.
    config = STATE / "run" / f"registry-{content_hash([text])}.yml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(text)
    return _DAEMON.serve([program, "serve", config], address, PORT)


def push(url: str, image: Image) -> None:
    """Upload what the registry lacks; an image that is there already costs one request."""
    repository = f"{url}/v2/{image.repository}"
    manifest = f"{repository}/manifests/{image.tag}"
    present = _ask("HEAD", manifest, Accept=MANIFEST_TYPE)
    if present is not None and present["Docker-Content-Digest"] == image.digest:
        return
    say(f"pushing {image.name}")
    for layer in image.layers:
        _push_blob(repository, layer.digest, Path(layer.path).read_bytes())
    _push_blob(repository, digest(image.config), image.config)
    _ask("PUT", manifest, image.manifest, **{"Content-Type": MANIFEST_TYPE})


def _push_blob(repository: str, name: str, content: bytes) -> None:
    if _ask("HEAD", f"{repository}/blobs/{name}") is None:
        upload = _ask("POST", f"{repository}/blobs/uploads/")
        assert upload is not None
        _ask("PUT", f"{upload['Location']}&digest={name}", content, **{"Content-Type": "application/octet-stream"})


def _ask(method: str, url: str, content: bytes | None = None, **headers: str) -> Message | None:
    """The answer's headers; None if what is asked for is not there."""
    request = Request(url, content, headers, method=method)
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=120) as answer:
            found: Message = answer.headers
            return found
    except HTTPError as error:
        if method == "HEAD" and error.code == 404:
            return None
        raise LabError(f"registry: {method} {url}: {error}; see {_DAEMON.log}") from error
