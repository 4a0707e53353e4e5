"""The simulated card, shared by every container that may use the GPU.

Contract with the lab's NVIDIA stand-in: ROOT/card.json describes the card; an allocation is a
file ROOT/allocations/NAME.json = {"mib": int, "what": str} that counts while its owner holds an exclusive flock
on it, so that a killed engine frees its memory as on the real card. Who profiles holds a flock on
ROOT/profiling-DEVICE.
"""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

DEFAULT_ROOT = Path("/run/nvidia-lab")
GIB = 2**30
MIB = 2**20
_IDLE_BYTES = int(0.19 * GIB)
"""What an idle L4 does not give: 21.84 of torch's 22.03 GiB are free."""


def gib(amount: int) -> str:
    """Bytes as vLLM prints them."""
    return f"{round(amount / GIB, 2)}"


_held: list[IO[str]] = []
"""This process's allocations: memory belongs to the process, not to an object in it."""


def release() -> None:
    """Give back what this process holds (ending does the same)."""
    while _held:
        _held.pop().close()


class OutOfMemory(Exception):  # noqa: N818 - torch.OutOfMemoryError has this name
    """The card has less free than asked for."""


class Card:
    """One GPU, device 0."""

    def __init__(self, root: Path) -> None:
        self._allocations = root / "allocations"
        self._marker = root / "profiling-0"
        self.total = int(json.loads((root / "card.json").read_text())["torch_total_gib"] * GIB)

    def free(self) -> int:
        """Free bytes: the total without every allocation whose owner lives."""
        used = sum(_living_mib(path) for path in self._allocations.glob("*.json"))
        return self.total - _IDLE_BYTES - used * MIB

    def allocate(self, amount: int, what: str) -> None:
        """Take memory until this process ends; raises OutOfMemory if the card has not that much."""
        if amount > self.free():
            raise OutOfMemory(
                f"CUDA out of memory. Tried to allocate {gib(amount)} GiB. GPU 0 has a total capacity of "
                f"{gib(self.total)} GiB of which {gib(self.free())} GiB is free."
            )
        self._allocations.mkdir(exist_ok=True)
        name = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        unfinished = self._allocations / f"{name}.new"
        file = unfinished.open("w")
        # Locked and written before it gets its final name: no reader ever sees it unowned or half written.
        fcntl.flock(file, fcntl.LOCK_EX)
        json.dump({"mib": round(amount / MIB), "what": what}, file)
        file.flush()
        unfinished.rename(self._allocations / f"{name}.json")
        _held.append(file)

    @contextmanager
    def profiling(self) -> Iterator[bool]:
        """Hold the profiling marker; yields False if another engine holds it now."""
        with self._marker.open("a") as marker:
            try:
                fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True


def _living_mib(path: Path) -> int:
    """The size of one allocation, or 0 if its owner is gone (then the file goes too)."""
    try:
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(json.load(file)["mib"])
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        pass
    return 0


def find(root: Path) -> Card | None:
    """The card, or None where the container was given no GPU."""
    return Card(root) if (root / "card.json").exists() else None
