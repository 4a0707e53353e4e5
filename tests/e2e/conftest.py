"""The whole deploy onto lab hosts: real pyinfra, ssh, systemd, Docker, reboots.

The tests of a module share one host and run in the order they stand in: a deploy takes a minute, and what comes
later (a second run, an edit, a reboot) is about the host that the earlier ones made. Three lanes of modules run
side by side (Makefile), each on the host of its name. What they share of the lab they lock, or ask for their own.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from runpy import run_path
from typing import Any
from urllib.parse import urlencode

import pytest

from benchmarks.ssh_executions import COUNTER
from tests.lab.places import DESCRIPTION, HOST_ADDRESSES, INVENTORY

ROOT = Path(__file__).resolve().parents[2]
ARTEFACTS = Path(os.environ.get("VOICE_TEST_ARTEFACTS", ROOT / ".artefacts"))
AGENT_FILES = ("Dockerfile", ".dockerignore", "requirements.txt", "requirements-cuda.txt")
PYINFRA = Path(sys.executable).with_name("pyinfra")
LAB = Path(INVENTORY).parent
CATALOG: dict[str, Any] = run_path(str(ROOT / LAB / "group_data" / "lab.py"))["weights_catalog"]


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


class Running:
    """A deploy at work."""

    def __init__(self, host: str, words: list[str], root: Path, environment: dict[str, str]) -> None:
        self._host, self._words = host, words
        self._out, self._err = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            words, cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=self._out, stderr=self._err, text=True
        )

    def wait(self) -> Run:
        """Its end; the artefacts keep what it printed."""
        status = self._process.wait()
        printed = [stream.read() for stream in (self._err, self._out) if not stream.seek(0)]
        ARTEFACTS.mkdir(exist_ok=True)
        with (ARTEFACTS / f"deploy-{self._host}.log").open("a") as log:
            log.write(f"$ {' '.join(self._words)}\n{''.join(printed)}\nexit status {status}\n\n")
        return Run(status, "".join(printed), json.loads(printed[1]) if status == 0 else {})

    def so_far(self) -> str:
        """What it printed until now."""
        files = [stream.fileno() for stream in (self._err, self._out)]
        # Not by reading: that would move the place that the process writes at.
        return "".join(os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace") for file in files)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait()

    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None


@dataclass(frozen=True)
class LabHost:
    """One host of the lab."""

    name: str

    def deploy(
        self,
        *options: str,
        dry: bool = False,
        root: Path = ROOT,
        program: str = "deploys/voice.py",
        token: str | None = None,
    ) -> Run:
        """Run a deploy of the repository at `root` on this host alone; `token` "" is none, None the lab's good one."""
        return self.start_deploy(*options, dry=dry, root=root, program=program, token=token).wait()

    def start_deploy(
        self,
        *options: str,
        dry: bool = False,
        root: Path = ROOT,
        program: str = "deploys/voice.py",
        token: str | None = None,
        command: tuple[str, ...] = (str(PYINFRA),),
    ) -> Running:
        """As deploy, without waiting for its end."""
        mode = "--dry" if dry else "-y"
        words = [*command, mode, "--json", "--limit", self.name, *options, INVENTORY, program]
        token = lab_token() if token is None else token
        environment = {**os.environ, **({"HF_TOKEN": token} if token else {})}
        return Running(self.name, words, root, environment)

    def ssh_executions(self, program: str) -> int:
        """How many commands over ssh one run of a deploy takes."""
        with tempfile.NamedTemporaryFile("r") as counted:
            os.environ["EXECUTIONS_FILE"] = counted.name
            run = self.start_deploy(program=program, command=(sys.executable, "-c", COUNTER)).wait()
            assert run.status == 0, run.printed[-4000:]
            return int(counted.read())

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

    def host_tests(self, *options: str, inventory: str = INVENTORY) -> subprocess.CompletedProcess[str]:
        """Run tests/host against this host."""
        words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/host", *options]
        return subprocess.run(
            [sys.executable, *words, "--inventory", inventory, "--host", self.name],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )


def copied(to: Path) -> Path:
    """A copy of what a deploy needs of the repository, to be broken; `to` again."""
    code = ("deploys", "voicestack", "on_host", "agent/voice_agent")
    for part in (*code, "templates", "group_data", "inventories", str(LAB)):
        shutil.copytree(ROOT / part, to / part)
    for part in ("config.py", *(f"agent/{name}" for name in AGENT_FILES)):
        shutil.copy(ROOT / part, to / part)
    return to


def inventory_with(directory: Path, **settings: object) -> str:
    """A copy of the lab's inventory whose hosts have these settings beside the lab's: tests/host read no `--data`."""
    inventory = Path(shutil.copytree(ROOT / LAB, directory / "inventory")) / "lab.py"
    with inventory.open("a") as file:
        file.write(f"\nfor _, data in voice:\n    data.update({settings!r})\n")
    return str(inventory)


def assert_a_run_changes_nothing(host: LabHost, *options: str) -> None:
    """Zero operations changed, zero containers restarted."""
    before = host.containers()
    run = host.deploy(*options)
    assert run.status == 0, run.printed[-4000:]
    assert run.changed == []
    assert host.containers() == before


def lab_token() -> str:
    """The lab's token whose account may read the gated model."""
    return str(json.loads(DESCRIPTION.read_text())["hub"]["token"])


def catalog(**voxtral: object) -> str:
    """The setting for the lab's catalog with another Voxtral."""
    changed = copy.deepcopy(CATALOG)
    next(iter(changed.values())).update(voxtral)
    return f"weights_catalog={json.dumps(changed)}"


def hub_url() -> str:
    """The address of the lab's Hub."""
    return str(json.loads(DESCRIPTION.read_text())["hub"]["url"])


def hub(control: str, **query: object) -> None:
    """Have the lab's Hub misbehave; see tests/lab/hub/server.py."""
    url = f"{hub_url()}/lab/{control}?{urlencode(query)}"
    with urllib.request.urlopen(urllib.request.Request(url, method="POST")):
        pass


def bedrock(control: str, **query: object) -> None:
    """Have the lab's Bedrock misbehave; see tests/lab/bedrock/server.py."""
    url = f"{json.loads(DESCRIPTION.read_text())['bedrock']['url']}/lab/{control}?{urlencode(query)}"
    with urllib.request.urlopen(urllib.request.Request(url, method="POST")):
        pass


@contextmanager
def refused_by_bedrock(host: str, control: str = "deny") -> Iterator[None]:
    """No language model answers this host meanwhile; the others, whose deploys ask it too, notice nothing."""
    client = HOST_ADDRESSES[host]
    bedrock(control, on=1, client=client)
    try:
        yield
    finally:
        bedrock(control, on=0, client=client)


def hub_log(client: str = "") -> list[dict[str, Any]]:
    """Every request that the lab's Hub and its CDN had (of this client) since the last reset."""
    with urllib.request.urlopen(f"{hub_url()}/lab/log") as answer:
        return [each for each in json.load(answer) if client in ("", each["client"])]


def sent(server: str = "cdn") -> int:
    """Bytes of bodies that the lab's Hub ("hub") or its CDN sent since the last reset."""
    return sum(each["bytes"] for each in hub_log() if each["server"] == server)


def fetched_by(host: LabHost) -> int:
    """Bytes of models that the lab's Hub and its CDN sent to this host since the last reset."""
    files = [each for each in hub_log() if each["server"] == "cdn" or "/resolve/" in each["path"]]
    return sum(each["bytes"] for each in files if each["client"] == HOST_ADDRESSES[host.name])


def await_that(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Poll until `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds} s: {what}")
        time.sleep(0.05)


def _quoted(command: str) -> str:
    return "'" + command.replace("'", "'\\''") + "'"


def lab(*words: str) -> None:
    """Run a command of the lab; its progress goes to this process's stderr."""
    subprocess.run([sys.executable, "-m", "tests.lab", *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def lab_services() -> None:
    """The lab with everything hosts download from; its hosts are replaced by the modules that use them."""
    lab("up", "debian", "ubuntu", "spare")


def deployed_host(name: str) -> LabHost:
    """The host as the modules before left it, if they ran, or a fresh one: a deploy makes both the same."""
    host = LabHost(name)
    run = host.deploy()
    assert run.status == 0, run.printed[-4000:]
    return host


def fresh_host(name: str) -> LabHost:
    """A host that has only sshd and systemd."""
    lab("fresh", name)
    (ARTEFACTS / f"deploy-{name}.log").unlink(missing_ok=True)
    return LabHost(name)
