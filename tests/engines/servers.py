"""One of the stack's engines as its container would start it, and the lab's stand-in for it, from the same files."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from tests.engines import install
from tests.lab import vllm_miniature
from tests.render.matrix import Case
from voicestack.stack.render import environments

ROOT = Path(__file__).parents[2]
START_S = 900
"""Of patience, for a machine on which others are at work; alone, on two cores, an engine takes 20 to 60 s."""

_STAND_IN = (
    "import pathlib, sys; from tests.lab.vllm.cli import main; "
    "sys.exit(main(sys.argv[2:], card_root=pathlib.Path(sys.argv[1]), hurry=True))"
)

Service = Literal["vllm-guard", "vllm-voxtral"]
BOTH: tuple[Service, ...] = ("vllm-guard", "vllm-voxtral")


@dataclass(frozen=True)
class Engine:
    """A process that serves."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def connect(self, timeout: float = 60) -> http.client.HTTPConnection:
        """A connection of its own."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ready(self) -> Engine:
        """Itself, when it answers."""
        started = time.monotonic()
        while self.status() != 200:
            said = self.log.read_text(errors="replace")[-4000:]
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{said}"
            assert time.monotonic() < started + START_S, f"it is not ready:\n{said}"
            time.sleep(0.5)
        return self

    def status(self) -> int | None:
        """What /health answers; None: nobody does."""
        connection = self.connect()
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status
        except OSError:
            return None
        finally:
            connection.close()

    def stages(self) -> list[int]:
        """The process ids of the engine's cores, in their stages' order."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        children = sorted(int(pid) for thread in threads for pid in thread.read_text().split())
        return [pid for pid in children if b"EngineCore" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@dataclass(frozen=True)
class Container:
    """What Compose would start for a service: the engine's own words, its environment, what is mounted where."""

    words: list[str]
    environment: dict[str, str]
    port: int

    @classmethod
    def of(cls, case: Case, service: Service, home: Path) -> Container:
        """Of the rendered files, written below `home`; `home`/models has the models."""
        for name, file in case.files.items():
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)
        compose = yaml.safe_load(case.text("compose.yml"))["services"][service]
        mounts = {"/models": str(home / "models")}
        for volume in compose["volumes"]:
            source, target = volume.split(":")[:2]
            if source.startswith("./"):
                mounts[target] = str(home / source)
        command = compose["command"]
        # What stands before is gpu_start.py's; tests/programs has it.
        words = [_there(word, mounts) for word in command[command.index("--") + 1 :]]
        variables = environments(case.settings)[service]
        port = case.settings.guard.port if service == "vllm-guard" else case.settings.voxtral.port
        return cls(words, {name: _there(value, mounts) for name, value in variables.items()}, port)


def real(container: Container, release: str, home: Path) -> AbstractContextManager[Engine]:
    """vLLM itself, on the CPU; it is not ready yet."""
    there = install.environment(release)
    speech = home / "speech"
    speech.mkdir()
    variables = {
        **container.environment,
        "HOME": str(home),
        "PATH": f"{there}/bin:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "LD_PRELOAD": install.preloaded(there),
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VOICE_LAB_SPEECH": str(speech),
    }
    return _running(container.words, variables, container.port, home / "real.log")


def stand_in(container: Container, port: int, home: Path) -> AbstractContextManager[Engine]:
    """The lab's, at another port; it is not ready yet."""
    card = vllm_miniature.card(home / "card")
    words = [f"--port={port}" if word.startswith("--port=") else word for word in container.words[1:]]
    variables = {**container.environment, "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    return _running([sys.executable, "-c", _STAND_IN, str(card), *words], variables, port, home / "stand-in.log")


@contextmanager
def _running(command: list[str], variables: Mapping[str, str], port: int, log: Path) -> Iterator[Engine]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=dict(variables), stdout=out, stderr=out, start_new_session=True)
    engine = Engine(process, port, log)
    try:
        yield engine
    finally:
        # its cores outlive one that died
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _there(word: str, mounts: Mapping[str, str]) -> str:
    """A word with a container's path as this machine's."""
    for target, source in mounts.items():
        word = word.replace(target, source)
    return word
