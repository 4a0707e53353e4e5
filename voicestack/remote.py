"""How bytes reach a host: commands that narrate, and file trees that travel on stdin.

pyinfra hides a command's output unless `-vvv` is given, and `files.put` leaves a 0600 file readable for a
moment. The two helpers here are the answers: `Streamed` prints while it runs, `unpack` writes a whole tree in
one ssh execution with its final modes from the first byte. What travels on stdin is in no argv and no log.
"""

from __future__ import annotations

import base64
import io
import shlex
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyinfra.api.command import StringCommand

from voicestack.pyinfra_insides import OwnCommand

if TYPE_CHECKING:
    from pyinfra.api.host import Host

STAGING = "/run/voice-stack-staging"
"""On a host: where the files lie that are about to be placed."""


@dataclass(frozen=True)
class File:
    """One file as it shall be on the host; `uid` 0 and mode 0644 unless said otherwise."""

    content: bytes
    mode: int = 0o644
    uid: int = 0


class Streamed(OwnCommand):
    """A shell command whose output lines appear while it runs, without any flag.

    Use it for whatever takes longer than a breath: installs, downloads, warm-ups. The command must print
    whole lines (no carriage-return progress bars) and nothing secret.
    """

    def carry_out(self, host: Host, arguments: dict[str, Any]) -> bool:
        """Run it."""
        return host.run_shell_command(self, print_output=True, **arguments)[0]


def script(body: str, *arguments: str) -> str:
    """`body`, a bash script of any length, as one command with -eu and pipefail; `arguments` become $1, $2, ..."""
    # --norc: started by sshd, Debian's bash reads bash.bashrc and .bashrc, which trip over -u and may do anything.
    return shlex.join(["bash", "--norc", "-euo", "pipefail", "-c", body, "voice", *arguments])


def script_file(beside: str, name: str, *arguments: str) -> str:
    """The script `name` that lies beside the Python file `beside` (pass `__file__`), as one command."""
    return script((Path(beside).parent / name).read_text(encoding="utf-8"), *arguments)


def refuse(message: str) -> Streamed:
    """A command that fails with `message`: this host's run ends there, the other hosts' go on.

    An exception from an operation would print a traceback and end the run of every host.
    """
    return Streamed(script('printf "%s\\n" "$1" >&2; exit 1', message))


def tree_on_stdin(files: Mapping[str, File]) -> str:
    """`files` (path relative to the target directory -> File) as a base64 tar for `_stdin`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for path, file in sorted(files.items()):
            member = tarfile.TarInfo(path)
            member.size = len(file.content)
            member.mode = file.mode
            member.uid = member.gid = file.uid
            archive.addfile(member, io.BytesIO(file.content))
    return base64.encodebytes(buffer.getvalue()).decode("ascii")


def unpack(files: Mapping[str, File], directory: str) -> StringCommand:
    """Replace `directory` (root's, 0700) by exactly `files`, in one ssh execution.

    Meant for staging directories: whatever the directory held before is removed.
    """
    place = shlex.quote(directory)
    return StringCommand(
        script(f"umask 077; rm -rf {place}; mkdir -p {place}; base64 -d | tar -xzp --numeric-owner -C {place}"),
        _stdin=tree_on_stdin(files),
    )


def place(files: Mapping[str, File]) -> StringCommand:
    """Write `files` (absolute path -> File), each beside its place and then renamed, in one ssh execution."""
    steps: list[list[str]] = []
    for path in sorted(files):
        steps += [
            ["install", "-d", str(Path(path).parent)],
            ["cp", "-p", f"{STAGING}{path}", f"{path}.new"],
            ["mv", "-f", f"{path}.new", path],
        ]
    # Not by &&: bash's -e lets pass what fails in the middle of such a list.
    moves = "; ".join(map(shlex.join, steps))
    body = f"umask 077; rm -rf {STAGING}; mkdir {STAGING}; base64 -d | tar -xzp --numeric-owner -C {STAGING}"
    relative = {path.lstrip("/"): file for path, file in files.items()}
    return StringCommand(script(f"{body}; umask 022; {moves}; rm -rf {STAGING}"), _stdin=tree_on_stdin(relative))


class Rows:
    """What a script of ours prints: lines of a key and values, with TABs between them; a key may come again.

    pyinfra strips lines, so what is empty at the end of one is put back: a row has as many values as are asked for.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._rows: dict[str, list[list[str]]] = {}
        for line in lines:
            key, *values = line.split("\t")
            self._rows.setdefault(key, []).append([value.strip() for value in values])

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def all(self, key: str, columns: int = 1) -> list[list[str]]:
        """The values of each line with this key."""
        return [[*row, *[""] * (columns - len(row))] for row in self._rows.get(key, [])]

    def first(self, key: str, columns: int = 1) -> list[str]:
        """Those of the first one; empty ones where there is none."""
        return next(iter(self.all(key, columns)), [""] * columns)

    def one(self, key: str) -> str:
        """The first value of the first one."""
        return self.first(key)[0]

    def each(self, key: str) -> tuple[str, ...]:
        """The first value of every one."""
        return tuple(row[0] for row in self.all(key))

    def pairs(self, key: str) -> dict[str, str]:
        """The first value of every one -> its second."""
        return {row[0]: row[1] for row in self.all(key, 2)}
