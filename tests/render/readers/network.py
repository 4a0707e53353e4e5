"""A network of a test's own: every port is free, nothing leaves it, and what listens in it is the tested program's."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.daemon import LabError, await_condition, port_answers

_CLONE_NEWNET = 0x40000000
_CONTAINED = 'mount --rbind /proc "$0/proc" && exec chroot "$0" "$@"'


@contextmanager
def own_network() -> Iterator[None]:
    """Put this thread, and what it starts, into a new network with a loopback device only.

    The device also has a private address, as a host behind its cloud's NAT: the public one is nowhere.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as before:
        if libc.unshare(_CLONE_NEWNET) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise LabError(f"these tests need a network of their own ({reason}): run them as root")
        try:
            for words in ("link set lo up", "address add 10.0.0.5/32 dev lo"):
                subprocess.run(["ip", *words.split()], check=True)
            yield
        finally:
            if libc.setns(before.fileno(), _CLONE_NEWNET) != 0:
                raise LabError("cannot go back to the machine's network")


@contextmanager
def program(root: Path, *command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a static program with `root` as its file system, as in its container; its output goes to root/log."""
    (root / "proc").mkdir(exist_ok=True)
    with (root / "log").open("wb") as log:
        started = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", _CONTAINED, str(root), *command],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], **environment},
        )
        try:
            yield started
        finally:
            # Nothing it would tidy up outlives the test, and LiveKit takes its time.
            started.kill()
            started.wait()


def listening() -> set[tuple[str, str, int]]:
    """What this network listens on: ("tcp" or "udp", the address, "*" for any, the port)."""
    output = subprocess.run(["ss", "-H", "-l", "-n", "-t", "-u"], capture_output=True, text=True, check=True).stdout
    found = set()
    for line in output.splitlines():
        protocol, *_, local, _peer = line.split()
        address, _, port = local.rpartition(":")
        found.add((protocol, {"0.0.0.0": "*", "[::]": "*"}.get(address, address), int(port)))  # noqa: S104 - compared
    return found


def await_port(started: subprocess.Popen[bytes], log: Path, port: int) -> None:
    """Return when the program accepts connections there; its own words if it ends instead."""

    def answers() -> bool:
        assert started.poll() is None, log.read_text(errors="replace")
        return port_answers("127.0.0.1", port)

    await_(f"{started.args!r} on port {port}", answers, log)


def await_(what: str, is_so: Callable[[], bool], log: Path) -> None:
    """Return when it is so; an AssertionError with the program's log after 30 seconds."""
    try:
        await_condition(what, is_so, seconds=30, every=0.05)
    except LabError as late:
        raise AssertionError(f"{late}\n{log.read_text(errors='replace')}") from late
