"""The lab's package index: what it takes from a lock, and that pip can read it."""

from __future__ import annotations

import functools
import subprocess
import sys
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.lab.pypi import applicable, arrange

LOCK = """\
# a comment
httpx2==2.14.0 ; python_full_version < '3.11' \\
    --hash=sha256:aa
    # via somebody
httpx2==2.16.2 ; python_full_version >= '3.11' \\
    --hash=sha256:bb \\
    --hash=sha256:cc
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:dd
numpy==2.5.5 \\
    --hash=sha256:ee
"""


def test_markers_are_read_for_the_target() -> None:
    assert list(applicable(LOCK, "3.13")) == [
        "httpx2==2.16.2 --hash=sha256:bb --hash=sha256:cc",
        "numpy==2.5.5 --hash=sha256:ee",
    ]


@pytest.mark.parametrize(("wanted", "found"), [("some-thing.MORE", True), ("absent", False)])
def test_pip_finds_what_is_there(tmp_path: Path, wanted: str, found: bool) -> None:
    wheel = tmp_path / "Some_Thing.more-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        about = "Metadata-Version: 2.1\nName: Some_Thing.more\nVersion: 1.0\n"
        archive.writestr("Some_Thing.more-1.0.dist-info/METADATA", about)
        archive.writestr("Some_Thing.more-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
    arrange(tmp_path / "index", [wheel])
    files = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "index"))
    with ThreadingHTTPServer(("127.0.0.1", 0), files) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        index = f"--index-url=http://127.0.0.1:{server.server_port}/simple"
        words = ["-m", "pip", "--isolated", "download", "--no-deps", index, "--dest", str(tmp_path / "got"), wanted]
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
        server.shutdown()
    assert (done.returncode == 0) is found, done.stderr
    assert (tmp_path / "got" / wheel.name).exists() is found
