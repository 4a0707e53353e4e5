"""Background servers of the lab: started once, found again by the next process, stopped for good."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.lab.places import REPOSITORY, STATE


class LabError(RuntimeError):
    """Something the lab needs is missing or failed; the message says what to do."""


def await_condition(what: str, condition: Callable[[], bool], *, seconds: float, every: float = 0.1) -> None:
    """Return as soon as `condition` holds; after `seconds` raise a LabError that names `what`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"{what}: did not happen within {seconds:.0f} s")
        time.sleep(every)


def port_answers(address: str, port: int) -> bool:
    """Whether something accepts TCP connections there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0


def _start_time(pid: int) -> str | None:
    """The process's start time in clock ticks: with the pid it names one process for good (proc(5))."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


class Daemon:
    """One background process, remembered in STATE/run/NAME.json by pid, start time and command line."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.record = STATE / "run" / f"{name}.json"
        self.log = STATE / "log" / f"{name}.log"

    def pid(self) -> int | None:
        """The pid if the process we started still runs, else None (a reused pid is not it)."""
        try:
            record = json.loads(self.record.read_text())
        except (OSError, ValueError):
            return None
        return record["pid"] if _start_time(record["pid"]) == record["started"] else None

    def start(self, command: Sequence[str | Path]) -> None:
        """Start `command` unless the same command already runs; another one under this name is replaced."""
        words = [str(word) for word in command]
        if self.pid() is not None and json.loads(self.record.read_text())["command"] == words:
            return
        self.stop()
        self.record.parent.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            )
        self.record.write_text(json.dumps({"pid": process.pid, "started": _start_time(process.pid), "command": words}))

    def serve(self, command: Sequence[str | Path], address: str, port: int) -> str:
        """Start a server, and return its URL once it listens; if it died instead, raise with the end of its log."""
        self.start(command)

        def ready() -> bool:
            if self.pid() is None:
                tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])
                raise LabError(f"lab server {self.name} ended at once; the end of {self.log}:\n{tail}")
            return port_answers(address, port)

        await_condition(f"lab server {self.name} on {address}:{port}", ready, seconds=15)
        return f"http://{address}:{port}"

    def serve_files(self, directory: Path, address: str, port: int) -> str:
        """Have Python's own server hand out a directory; returns its URL."""
        options = ("--protocol", "HTTP/1.1", "--bind", address, "--directory", directory)
        return self.serve([sys.executable, "-m", "http.server", *options, str(port)], address, port)

    def stop(self) -> None:
        """Terminate it and its children's session; nothing happens if it does not run."""
        pid = self.pid()
        if pid is not None:
            for sign in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(pid, sign)
                except ProcessLookupError:
                    break
                try:
                    await_condition(f"the end of {self.name}", lambda: self.pid() is None, seconds=10)
                    break
                except LabError:
                    continue
        self.record.unlink(missing_ok=True)
