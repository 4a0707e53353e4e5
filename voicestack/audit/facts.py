"""What a live host has, as state.sh prints it: one round trip, read only, judged elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from pyinfra.api.facts import FactBase

from voicestack.audit import runs
from voicestack.audit.runs import Run
from voicestack.host.report import Socket
from voicestack.remote import File, Rows, script_file

FAULTS = {"docker_fault": "Docker", "check_fault": "start.py --check"}
"""Keys of state.sh -> who could not be asked."""


@dataclass(frozen=True)
class LiveFile:
    """A file: mode and uid ("644 0"), sha256, and if it is not the wanted one the first 64 KiB of its content."""

    owner: str
    sha256: str
    content: bytes


@dataclass(frozen=True)
class Container:
    """A container on the host; `service` is "" and the words are None when it is not the stack's."""

    id: str
    name: str
    service: str
    image: str
    status: str
    restarts: int
    exit_code: int
    entrypoint: tuple[str, ...] | None
    command: tuple[str, ...] | None


@dataclass(frozen=True)
class Certificate:
    """A certificate's file and its life, in seconds since 1970."""

    path: str
    begins: int
    ends: int


@dataclass(frozen=True)
class HostState:
    """Everything state.sh read.

    Attributes:
        now: the host's clock, in seconds since 1970; 0 if it did not answer.
        secrets: path -> mode and uid; of the kept releases' directory too.
        others: every file below the stack's home, but for what the releases hold.
        runs: of deploys/voice.py and rollback.py: the last one, the last one that went through, the last one of
            voice.py that did; some may be the same.
        release: the number of the release in use; "" if there is none.
        at_work: whether a run is at work now.
        differences: what `start.py --check` said; None if it could not.
        faults: who could not be asked -> their last words.
        reboot: packages that ask for one (one of them may be ""); empty: none is asked for.
        memory: nvidia-smi's lines for voicestack/gpu/cards.py.
    """

    now: int = 0
    files: Mapping[str, LiveFile] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    runs: tuple[Run, ...] = ()
    release: str = ""
    at_work: bool = False
    containers: tuple[Container, ...] = ()
    differences: Mapping[str, str] | None = None
    faults: Mapping[str, str] = field(default_factory=dict)
    listeners: tuple[Socket, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    reboot: tuple[str, ...] = ()
    kernel: str = ""
    newest_kernel: str = ""
    memory: str = ""


class Live(FactBase[HostState]):
    """Everything state.sh reads, in one ssh execution."""

    def command(self, files: str, home: str, state: str, domain: str) -> str:
        """The script with its arguments."""
        return script_file(__file__, "state.sh", files, home, state, domain)

    def process(self, output: list[str]) -> HostState:
        """Parse the script's lines."""
        return parse(output)

    def default(self) -> HostState:  # type: ignore[override]
        """A host that said nothing."""
        return HostState()


def asked(files: Mapping[str, File]) -> str:
    """The script's list of files."""
    return "\n".join(f"{hashlib.sha256(file.content).hexdigest()} {path}" for path, file in files.items())


def parse(lines: list[str]) -> HostState:
    """The lines that state.sh prints, as a HostState."""
    rows = Rows(lines)
    kernel, newest_kernel = rows.first("kernel", 2)
    return HostState(
        now=int(rows.one("now") or 0),
        files={path: LiveFile(owner, digest, _decoded(text)) for path, owner, digest, text in rows.all("file", 4)},
        secrets=rows.pairs("secret"),
        others=rows.each("other"),
        runs=tuple(runs.read(_decoded(each).decode("utf-8", errors="replace") for each in rows.each("run"))),
        release=rows.one("release"),
        at_work="at_work" in rows,
        containers=tuple(_container(row) for row in rows.all("container", 9)),
        differences=dict(json.loads(_decoded(rows.one("differences")))) if "differences" in rows else None,
        faults={subject: rows.one(key) for key, subject in FAULTS.items() if key in rows},
        listeners=tuple(Socket(*row) for row in rows.all("listener", 4)),
        certificates=tuple(Certificate(path, int(a), int(b)) for path, a, b in rows.all("certificate", 3)),
        reboot=tuple(rows.one("reboot").split(" ")) if "reboot" in rows else (),
        kernel=kernel,
        newest_kernel=newest_kernel,
        memory="\n".join(rows.each("memory")),
    )


def _decoded(text: str) -> bytes:
    return base64.b64decode(text)


def _container(row: list[str]) -> Container:
    identity, name, service, image, status, restarts, code, entrypoint, command = row
    return Container(
        identity,
        name.lstrip("/"),
        service,
        image,
        status,
        int(restarts),
        int(code),
        _words(entrypoint),
        _words(command),
    )


def _words(text: str) -> tuple[str, ...] | None:
    words = json.loads(text)
    return None if words is None else tuple(words)
