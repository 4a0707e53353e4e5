"""The whole deploy onto lab hosts: real pyinfra, ssh, systemd, Docker, reboots.

The tests of a module share one host and run in the order they stand in: a deploy takes a minute, and what comes
later (a second run, an edit, a reboot) is about the host that the earlier ones made.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab.places import DESCRIPTION

ROOT = Path(__file__).resolve().parents[2]
ARTEFACTS = Path(os.environ.get("VOICE_TEST_ARTEFACTS", ROOT / ".artefacts"))
PYINFRA = Path(sys.executable).with_name("pyinfra")


@dataclass(frozen=True)
class Run:
    """One finished pyinfra run: exit status, everything it printed, its JSON result (empty if it failed)."""

    status: int
    printed: str
    result: dict[str, Any]

    @property
    def changed(self) -> list[str]:
        """The names of the operations that changed something."""
        operations = (self.result.get("results") or {}).get("operations", [])
        return [operation["name"] for operation in operations if operation["success"]]


@dataclass(frozen=True)
class LabHost:
    """One host of the lab."""

    name: str

    def deploy(self, *options: str, dry: bool = False, root: Path = ROOT) -> Run:
        """Run the deploy of the repository at `root` on this host alone; the artefacts keep what it printed."""
        mode = "--dry" if dry else "-y"
        words = [str(PYINFRA), mode, "--json", "--limit", self.name, *options, "inventories/lab.py", "deploys/voice.py"]
        token = json.loads(DESCRIPTION.read_text())["hub"]["token"]
        finished = subprocess.run(
            words,
            cwd=root,
            env={**os.environ, "HF_TOKEN": token},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        ARTEFACTS.mkdir(exist_ok=True)
        with (ARTEFACTS / f"deploy-{self.name}.log").open("a") as log:
            log.write(f"$ {' '.join(words)}\n{finished.stderr}{finished.stdout}\nexit status {finished.returncode}\n\n")
        result = json.loads(finished.stdout) if finished.returncode == 0 else {}
        return Run(finished.returncode, finished.stderr + finished.stdout, result)

    def shell(self, command: str, *, stdin: str = "", check: bool = True) -> str:
        """The output of a command run on the host as root."""
        words = [sys.executable, "-m", "tests.lab", "ssh", self.name, f"sudo -n sh -c {_quoted(command)}"]
        finished = subprocess.run(words, cwd=ROOT, input=stdin, capture_output=True, text=True, check=False)
        if check and finished.returncode:
            raise AssertionError(f"{command}: {finished.stdout}{finished.stderr}")
        return finished.stdout.strip()

    def containers(self) -> dict[str, str]:
        """Container name -> id and start time: what must not change when nothing changes."""
        lines = self.shell("docker ps -q | xargs -r docker inspect -f '{{.Name}} {{.Id}} {{.State.StartedAt}}'")
        return dict(line.lstrip("/").split(" ", 1) for line in lines.splitlines())

    def host_tests(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run tests/host against this host."""
        words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/host", *options]
        return subprocess.run(
            [sys.executable, *words, "--inventory", "inventories/lab.py", "--host", self.name],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )


def assert_a_run_changes_nothing(host: LabHost) -> None:
    """Zero operations changed, zero containers restarted."""
    before = host.containers()
    run = host.deploy()
    assert run.status == 0, run.printed[-4000:]
    assert run.changed == []
    assert host.containers() == before


def _quoted(command: str) -> str:
    return "'" + command.replace("'", "'\\''") + "'"


def lab(*words: str) -> None:
    """Run a command of the lab; its progress goes to this process's stderr."""
    subprocess.run([sys.executable, "-m", "tests.lab", *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def lab_services() -> None:
    """The lab with everything hosts download from; its hosts are replaced by the modules that use them."""
    lab("up", "debian", "ubuntu")


def fresh_host(name: str) -> LabHost:
    """A host that has only sshd and systemd."""
    lab("fresh", name)
    (ARTEFACTS / f"deploy-{name}.log").unlink(missing_ok=True)
    return LabHost(name)
