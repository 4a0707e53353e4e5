"""How the lab talks to the person in front of it, and how it runs programs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.lab.daemon import LabError


def say(text: str) -> None:
    """One progress line, on stderr: stdout belongs to what a command answers."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what begins, and how long it took once it is done."""
    say(f"{what} …")
    started = time.monotonic()
    yield
    say(f"{what}: done in {time.monotonic() - started:.1f} s")


def run(
    *command: str | Path,
    input_text: str | None = None,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a program to its end and return its output; a failure carries everything it said."""
    words = [str(word) for word in command]
    settings = {**os.environ, **(environment or {})}
    done = subprocess.run(words, input=input_text, capture_output=True, text=True, cwd=cwd, env=settings, check=False)
    if done.returncode != 0:
        raise LabError(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


def succeeds(*command: str | Path) -> bool:
    """Whether a program exits with 0; what it says does not matter."""
    done = subprocess.run([str(word) for word in command], capture_output=True, check=False)
    return done.returncode == 0
