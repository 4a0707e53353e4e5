"""How fast the weights' fetcher is: against `hf download` of the same files from the same Hub, and against the disk.

    .venv/bin/python -m benchmarks.weights_throughput [DIRECTORY]

Serves a model with one file of 2 GiB on loopback and fetches it three times with each client, in turn, into DIRECTORY
(default: /dev/shm, where the disk does not count; give a directory on a disk to count it). `hf download` is the
client's own command, over plain HTTP as ours, without verification. Ours hashes every byte, syncs and swaps. On a disk
`hf download + sync` is the fair line. Then the deep verification of what was fetched, against `sha256sum`.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from tests.lab.hub.models import VOXTRAL, load, write_large
from tests.lab.hub.server import CDN_PORT, PORT
from tests.unit.weights import request

ROOT = Path(__file__).resolve().parents[1]
ADDRESS = "127.0.0.2"
SIZE = 2 * 1024**3
ROUNDS = 3
PATTERNS = ["consolidated.safetensors", "params.json", "tekken.json", "voice_embedding/*"]
ENVIRONMENT = {
    **os.environ,
    "HF_ENDPOINT": f"http://{ADDRESS}:{PORT}",
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "PYTHONPATH": str(ROOT),
}


def hf(directory: Path, revision: str) -> None:
    """The Hub client's own download."""
    words = [str(Path(sys.executable).with_name("hf")), "download", VOXTRAL, "--revision", revision]
    words += ["--local-dir", str(directory / "hf"), *(word for each in PATTERNS for word in ("--include", each))]
    subprocess.run(words, env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def ours(directory: Path, revision: str, *, verify: bool = False) -> None:
    """The fetcher, as a host runs it."""
    entry = {
        "repo": VOXTRAL,
        "revision": revision,
        "architecture": "voxtral_tts",
        "include": PATTERNS,
        "exclude": [],
        "files": {},
        "licence": "none",
    }
    models = {"voxtral": entry}
    work = {"verify": models} if verify else {"models": models}
    wanted = request(directory / "ours", endpoint=ENVIRONMENT["HF_ENDPOINT"], **work)
    words = [sys.executable, "-m", "on_host.weights.fetch"]
    subprocess.run(
        words, env=ENVIRONMENT, check=True, input=json.dumps(wanted), text=True, stdout=subprocess.DEVNULL, cwd=ROOT
    )


def timed(step: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    started = time.monotonic()
    step()
    return time.monotonic() - started


def sync(directory: Path) -> None:
    """Everything of this file system on the disk."""
    subprocess.run(["sync", "-f", str(directory)], check=True)


@contextmanager
def hub(root: Path) -> Iterator[str]:
    """The lab's Hub with the large library; yields the model's revision."""
    write_large(root, SIZE)
    server = subprocess.Popen([sys.executable, "-m", "tests.lab.hub", ADDRESS, str(root)], cwd=ROOT)
    try:
        for port in (PORT, CDN_PORT):
            while socket.socket().connect_ex((ADDRESS, port)):
                time.sleep(0.05)
        yield load(root).repos[VOXTRAL].revision
    finally:
        server.kill()
        server.wait()


def measure(scratch: Path, revision: str) -> dict[str, list[float]]:
    """Wall seconds by what was done, ROUNDS of each, in turn."""
    times: dict[str, list[float]] = {}

    def note(what: str, seconds: float) -> None:
        times.setdefault(what, []).append(seconds)

    for _ in range(ROUNDS):
        first = timed(lambda: hf(scratch, revision))
        note("hf download", first)
        note("hf download + sync", first + timed(lambda: sync(scratch)))
        shutil.rmtree(scratch / "hf")
        note("ours, verified and synced", timed(lambda: ours(scratch, revision)))
        note("ours, deep verification", timed(lambda: ours(scratch, revision, verify=True)))
        weights = scratch / "ours" / "voxtral" / PATTERNS[0]
        note("sha256sum", timed(partial(subprocess.run, ["sha256sum", weights], check=True, stdout=subprocess.DEVNULL)))
        shutil.rmtree(scratch / "ours")
    return times


def main() -> None:
    """Measure and print."""
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else "/dev/shm")  # noqa: S108
    with (
        tempfile.TemporaryDirectory() as library,
        tempfile.TemporaryDirectory(dir=directory) as scratch,
        hub(Path(library)) as revision,
    ):
        times = measure(Path(scratch), revision)
    reference = median(times["ours, verified and synced"])
    print(f"2 GiB into {directory}, median of {ROUNDS}\n{'':<28}{'wall':>8}{'MB/s':>8}{'time / ours':>13}")
    for what, seconds in times.items():
        wall = median(seconds)
        print(f"{what:<28}{wall:>6.1f} s{SIZE / wall / 1e6:>8.0f}{wall / reference:>13.2f}")


if __name__ == "__main__":
    main()
