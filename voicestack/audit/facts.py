"""What a live host has, as state.sh prints it: one round trip, read only, judged elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pyinfra.api.facts import FactBase

from voicestack.host.report import Socket
from voicestack.paths import HOME, STATE
from voicestack.remote import File, Rows, script_file


@dataclass(frozen=True)
class LiveFile:
    """A file: mode and uid ("644 0"), sha256, and if it is not the wanted one the first 64 KiB of its content."""

    owner: str
    sha256: str
    content: bytes


@dataclass(frozen=True)
class Run:
    """A run: of what ("voice.py"), its commit ("" if it came from no clone), when it ended (UTC), by whom, and how.

    `dirty`: the clone had changes that no commit has.
    """

    what: str
    commit: str
    dirty: bool
    until: str
    by: str
    outcome: str

    @property
    def is_done(self) -> bool:
        """Whether it went through to its end."""
        return self.outcome.startswith("done")

    @property
    def went_back(self) -> bool:
        """Whether it put another release in place; one that was in use already is not changed."""
        return self.what == "rollback.py" and self.is_done and not self.outcome.startswith("done: 0 of ")

    @property
    def since(self) -> str:
        """Since when its commit is live, and by whom."""
        return f"deployed {self.until} by {self.by}"


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
    entrypoint: list[str] | None
    command: list[str] | None


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
        runs: of deploys/voice.py and rollback.py, the last one first.
        release: the number of the release in use; "" if there is none.
        at_work: whether a run is at work now.
        differences: what `start.py --check` said; None if it could not.
        faults: who could not be asked -> their last words.
        reboot: packages that ask for one, which may be ""; None: none is asked for.
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
    reboot: str | None = None
    newest_kernel: str = ""
    memory: str = ""


class Live(FactBase[HostState]):
    """Everything state.sh reads, in one ssh execution."""

    default = HostState

    def command(self, files: str, domain: str) -> str:
        """The script with its arguments."""
        return script_file(__file__, "state.sh", files, HOME, STATE, domain)

    def process(self, output: list[str]) -> HostState:
        """Parse the script's lines."""
        return parse(output)


def asked(files: Mapping[str, File]) -> str:
    """The script's list of files."""
    return "\n".join(f"{hashlib.sha256(file.content).hexdigest()} {path}" for path, file in files.items())


def parse(lines: list[str]) -> HostState:
    """The lines that state.sh prints, as a HostState."""
    rows = Rows(lines)
    return HostState(
        now=int(rows.one("now") or 0),
        files={path: LiveFile(owner, digest, _decoded(text)) for path, owner, digest, text in rows.all("file", 4)},
        secrets=rows.pairs("secret"),
        others=rows.each("other"),
        runs=tuple(run for line in _decoded(rows.one("runs")).splitlines()[::-1] if (run := read_run(line))),
        release=rows.one("release"),
        at_work="at_work" in rows,
        containers=tuple(Container(**json.loads(each)) for each in rows.each("container")),
        differences=dict(json.loads(_decoded(rows.one("differences")))) if "differences" in rows else None,
        faults=rows.pairs("fault"),
        listeners=tuple(Socket(*row) for row in rows.all("listener", 4)),
        certificates=tuple(Certificate(path, int(a), int(b)) for path, a, b in rows.all("certificate", 3)),
        reboot=rows.one("reboot") if "reboot" in rows else None,
        newest_kernel=rows.one("newest_kernel"),
        memory="\n".join(rows.each("memory")),
    )


def _decoded(text: str) -> bytes:
    return base64.b64decode(text)


def read_run(line: bytes) -> Run | None:
    """The run that a line of the record tells of (voicestack/lock.sh writes it), None if it is no such line."""
    try:
        entry = json.loads(line)
        commit, dirty, _ = str(entry["commit"]).partition("-dirty")
        return Run(
            what=str(entry["what"]).rpartition("/")[2],
            # It becomes a word of a git command.
            commit=commit if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", commit) else "",
            dirty=bool(dirty),
            until=str(entry["until"]),
            by=f"{entry['who']}@{entry['from']}",
            outcome=str(entry["outcome"]),
        )
    except (ValueError, KeyError, TypeError):
        return None
