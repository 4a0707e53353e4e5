"""A package index of the lab's own (PEP 503), with exactly the wheels that the project's locks name.

The wheels come once from the real index, checked against the locks' hashes; a host then installs without one.
`python -m tests.lab.pypi ADDRESS DIRECTORY…` is the server.
"""

from __future__ import annotations

import functools
import hashlib
import html
import http.server
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

from packaging.requirements import Requirement

from tests.lab.console import run
from tests.lab.daemon import Daemon, LabError
from tests.lab.disk import content_hash, make_whole
from tests.lab.places import CACHE

PORT = 8093
_DAEMON = Daemon("pypi")
_ROOT = Path(__file__).parents[2]
LOCKS = (_ROOT / "agent/requirements.txt", _ROOT / "voicestack/weights/requirements-fetch.txt")
_TARGET = {
    "python_version": "3.13",
    "python_full_version": "3.13.5",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "os_name": "posix",
}
"""A lab host's and the agent image's Python: the controller's own may be another one."""
_PLATFORMS = (
    *("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014", "manylinux_2_12"),
    *("manylinux2010", "manylinux_2_5", "manylinux1", "linux"),
)


def ensure(address: str) -> dict[str, object]:
    """Have the wheels and serve them; returns the index's URL."""
    directories = [_wheels(lock) for lock in LOCKS]
    command = [sys.executable, "-m", "tests.lab.pypi", address, *map(str, directories)]
    _DAEMON.start(command, environment={"PYTHONPATH": str(_ROOT)})
    _DAEMON.await_port(address, PORT)
    return {"url": f"http://{address}:{PORT}/simple"}


def stop() -> None:
    """End the server; the wheels stay in the cache."""
    _DAEMON.stop()


def _wheels(lock: Path) -> Path:
    """The directory with a lock's wheels, downloaded on first use."""
    if not lock.exists():
        raise LabError(f"{lock} is missing: the lab serves the wheels it names")
    wanted = "\n".join(applicable(lock.read_text())) + "\n"
    name = f"{lock.parent.name}-{content_hash([wanted, *_TARGET.values(), *_PLATFORMS])}"

    def download(directory: Path) -> None:
        directory.mkdir(parents=True)
        requirements = directory / "requirements.txt"
        requirements.write_text(wanted)
        flags = ["--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
        flags += ["--implementation", "cp", "--python-version", _TARGET["python_version"]]
        for platform in _PLATFORMS:
            flags += ["--platform", f"{platform}_x86_64"]
        run(sys.executable, "-m", "pip", "download", *flags, "--dest", directory, "--requirement", requirements)

    return make_whole(CACHE / "wheels" / name, download, what=f"wheels of {lock.relative_to(_ROOT)}")


def applicable(lock: str) -> Iterator[str]:
    """The lock's requirements that a lab host needs, without their markers, one a line with its hashes."""
    for line in lock.replace("\\\n", " ").splitlines():
        text, *hashes = line.strip().split(" --hash=")
        if not text or text.startswith("#"):
            continue
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(_TARGET):
            requirement.marker = None
            yield " --hash=".join([str(requirement), *(value.strip() for value in hashes)])


def normalised(name: str) -> str:
    """A project's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@functools.cache
def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Index:
    """The pages of a simple repository over some wheels."""

    def __init__(self, directories: Iterable[Path]) -> None:
        self.files = {path.name: path for directory in directories for path in sorted(directory.glob("*.whl"))}

    def page(self, path: str) -> str | None:
        """The page at a path, or None if there is none."""
        match = re.fullmatch(r"/simple/(?:([^/]+)/?)?", path)
        if match is None:
            return None
        if match[1] is None:
            projects = sorted({normalised(name.split("-")[0]) for name in self.files})
            return _document((f"/simple/{project}/", project) for project in projects)
        wanted = normalised(match[1])
        wheels = [path for name, path in self.files.items() if normalised(name.split("-")[0]) == wanted]
        if not wheels:
            return None
        return _document((f"/files/{quote(path.name)}#sha256={_sha256(path)}", path.name) for path in wheels)


def _document(links: Iterable[tuple[str, str]]) -> str:
    body = "\n".join(f'<a href="{html.escape(target)}">{html.escape(text)}</a><br>' for target, text in links)
    return f"<!DOCTYPE html>\n<html><body>\n{body}\n</body></html>\n"


class Handler(http.server.BaseHTTPRequestHandler):
    """GET and HEAD of pages and files."""

    protocol_version = "HTTP/1.1"
    index: Index

    def do_GET(self) -> None:
        """A page or a wheel."""
        content, kind = self._find()
        self.send_response(200 if content is not None else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        if content is not None and self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def _find(self) -> tuple[bytes | None, str]:
        path = self.path.partition("?")[0]
        file = self.index.files.get(path.removeprefix("/files/"))
        if path.startswith("/files/") and file is not None:
            return file.read_bytes(), "application/octet-stream"
        page = self.index.page(path if path != "/simple" else "/simple/")
        return (page.encode() if page is not None else None), "text/html; charset=utf-8"


def main(address: str, *directories: str) -> None:
    """Serve until terminated."""
    Handler.index = Index(map(Path, directories))
    http.server.ThreadingHTTPServer((address, PORT), Handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
