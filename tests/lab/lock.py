"""Who may use what the hosts share: locks that their holder's death releases."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(name: str, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock of this machine, waiting for it: "lab" for changing the lab, "hub" for its faults."""
    with Path(f"/run/lock/voice-lab-{name}").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
