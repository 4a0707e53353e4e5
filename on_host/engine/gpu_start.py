"""Start a GPU engine when it is its turn. Runs as the containers' process 1; standard library only.

vLLM sizes its KV cache by watching the whole card while it warms up: two engines that do so at once corrupt each
other's figures. Compose's depends_on covers `docker compose up` but not a reboot, a Docker restart or a crash, where
Docker starts containers by itself. So the order is kept here, where every start passes:

1. wait until the engine named by --after answers (the guard after voxtral);
2. take the card's lock, which whoever is warming up holds;
3. wait a while until the card has the memory this engine will ask for (a killed engine frees it late);
4. start the engine, hold the lock until it answers its health check, then let go of it.

The lock is an flock(2): the kernel releases it with the process, nothing stale is left behind.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO

SPOKEN = Path("/tmp/voice-engine-proven")  # noqa: S108 - the container's own; health.py writes it
MEMORY_WAIT_S = 90
REPORT_EVERY_S = 30
POLL_EVERY_S = 0.5


def say(message: str) -> None:
    """One line to the container's log."""
    print(f"gpu_start: {message}", flush=True)


def answers(url: str) -> bool:
    """Whether an HTTP GET is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def wait_for(what: str, condition: Callable[[], bool], *, seconds: float | None = None) -> bool:
    """Poll `condition`, saying now and then what is waited for; False when `seconds` are over."""
    started = reported = time.monotonic()
    while not condition():
        now = time.monotonic()
        if seconds is not None and now - started > seconds:
            return False
        if now - reported >= REPORT_EVERY_S:
            reported = now
            say(f"waiting for {what}, {now - started:.0f} s so far")
        time.sleep(POLL_EVERY_S)
    return True


def acquire(lock: IO[str]) -> None:
    """Take the card's lock, however long another engine warms up."""

    def taken() -> bool:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    wait_for("the engine that is warming up on this card", taken)


def free_mib() -> int | None:
    """MiB that the card has free; None when nvidia-smi does not tell."""
    query = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout
        return int(answer.splitlines()[0])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def memory_is_free(needed_mib: int) -> bool:
    """Whether the card has that many MiB to give; an unknown figure is left to the engine."""
    free = free_mib()
    return free is None or free >= needed_mib


def run(arguments: argparse.Namespace) -> int:
    """Wait, start, watch; the engine's exit status (128 + signal if one ended it)."""
    SPOKEN.unlink(missing_ok=True)
    if arguments.after:
        wait_for(f"{arguments.after} to answer", lambda: answers(arguments.after))
    with Path(arguments.lock).open("a") as lock:
        acquire(lock)
        if not wait_for(
            f"{arguments.memory_mib} MiB of the card to be free",
            lambda: memory_is_free(arguments.memory_mib),
            seconds=MEMORY_WAIT_S,
        ):
            say("the card is still in use by others (see nvidia-smi); the engine will say what it lacks")
        # The engine must not inherit the lock: its children would hold it for as long as they live.
        os.set_inheritable(lock.fileno(), False)
        say(f"starting {' '.join(arguments.command[:2])}")
        engine = subprocess.Popen(arguments.command)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda received, _: engine.send_signal(received))
        healthy = wait_for(
            "the engine to be ready",
            lambda: engine.poll() is not None or answers(arguments.health),
            seconds=arguments.timeout,
        )
    if not healthy:
        say(f"the engine was not ready after {arguments.timeout} s and is ended")
        engine.kill()
    elif engine.poll() is None:
        say("the engine is ready; the card is free for the next one to start")
    status = engine.wait()
    return status if status >= 0 else 128 - status


def parse(words: list[str]) -> argparse.Namespace:
    """The options before `--`, and the engine's command after it."""
    parser = argparse.ArgumentParser(prog="gpu_start", description="Start a GPU engine when it is its turn.")
    parser.add_argument("--after", default="", help="URL that must answer 200 first")
    parser.add_argument("--lock", required=True, help="the card's lock file")
    parser.add_argument("--health", required=True, help="URL at which this engine answers 200 when ready")
    parser.add_argument("--timeout", type=float, required=True, help="seconds the engine may take to get ready")
    parser.add_argument("--memory-mib", type=int, required=True, help="MiB of the card that it will take")
    parser.add_argument("command", nargs="+", help="the engine's command line")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(run(parse(sys.argv[1:])))
