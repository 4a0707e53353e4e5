"""The operation behind deploys/backup.py: what a host cannot make again comes to the controller, encrypted.

What was read is in this process's memory and nowhere else: not among an operation's arguments or results, which
pyinfra prints.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Generator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.operation import operation
from pyinfra.connectors.util import CommandOutput

from voicestack.age import encrypt
from voicestack.backup import bundle, places, shelf
from voicestack.backup.bundle import Bundle, BundleError, Manifest
from voicestack.backup.contents import summary, torn, unusable_pairs
from voicestack.lock import commit
from voicestack.remote import script_file
from voicestack.settings.model import Settings

if TYPE_CHECKING:
    from pyinfra.api.arguments import ConnectorArguments
    from pyinfra.api.host import Host
    from pyinfra.api.state import State

ATTEMPTS = 5
PAUSE_S = 1.0
"""Between attempts. Caddy writes the files of a certificate one after the other, within milliseconds."""


class BackupError(PyinfraError):
    """No backup can be made with these settings; the message names each, the problem and the fix."""


def check(settings: Settings) -> None:
    """Whether a backup could be encrypted and kept.

    Raises:
        BackupError: with a line for each setting that prevents it.
    """
    problems = []
    if not settings.backup.recipients:
        problems.append(
            "backup_recipients: empty; name the public keys that may read backups, age1... of `age-keygen`, better two"
        )
    if problem := shelf.problem(Path(settings.backup.directory)):
        problems.append(f"backup_directory: {problem}; name a directory of yours")
    if problems:
        raise BackupError(
            "\n".join(["no backup can be made; nothing was read:", *(f"  - {each}" for each in problems)])
        )


def install(settings: Settings) -> None:
    """Make a backup of this host."""
    save(
        name=f"Save the keys and certificates of {settings.site.domain} in {settings.backup.directory}",
        domain=settings.site.domain,
        images={"livekit": settings.image.livekit, "caddy": settings.image.caddy},
        recipients=tuple(settings.backup.recipients),
        directory=settings.backup.directory,
    )


@operation(is_idempotent=False)
def save(
    domain: str, images: dict[str, str], recipients: tuple[str, ...], directory: str
) -> Generator[StringCommand, None, None]:
    """A new file on the controller has what the host cannot make again.

    Args:
        domain: whose keys they are.
        images: the stack's, for who reads the manifest.
        recipients: the public keys it is encrypted to.
        directory: the controller's.
    """
    yield Save(domain, images, recipients, Path(directory))


class Save(StringCommand):
    """Reads the host, encrypts, and writes the file; says what it does, and of the content only what it is."""

    def __init__(self, domain: str, images: dict[str, str], recipients: tuple[str, ...], directory: Path) -> None:
        words = (places.ROOT, places.LIVEKIT_ENV, places.AGENT_ENV, places.CADDYS_DATA)
        super().__init__(script_file(__file__, "read.sh", *words))
        self._domain, self._images, self._recipients, self._directory = domain, images, recipients, directory

    def execute(self, state: State, host: Host, connector_arguments: ConnectorArguments) -> tuple[bool, CommandOutput]:
        """Do it; nothing is returned, because pyinfra would print it."""
        done = self._execute(state, host, connector_arguments)
        return done, CommandOutput([])

    def _execute(self, state: State, host: Host, connector_arguments: ConnectorArguments) -> bool:
        for attempts_left in reversed(range(ATTEMPTS)):
            status, output = host.run_shell_command(
                self, print_output=False, print_input=state.print_input, **connector_arguments
            )
            try:
                files = _files(output.stdout_lines) if status else {}
                problems = torn(files) if status else output.stderr_lines
            except BundleError as error:
                problems = [f"the host's answer: {error}"]
            else:
                # What is wrong with the pairs does not mend itself; what is wrong with a certificate may.
                if status and (unusable := unusable_pairs(files)):
                    return _failed(host, unusable, "run deploys/voice.py")
                if status and not problems:
                    return self._keep(host, files)
            if attempts_left:
                host.log(f"not whole, Caddy may be writing; it is read again in {PAUSE_S:.0f} s")
                time.sleep(PAUSE_S)
        return _failed(host, problems, "if one certificate stays broken, remove its directory: Caddy gets a new one")

    def _keep(self, host: Host, files: dict[str, bytes]) -> bool:
        now = datetime.now(timezone.utc)
        manifest = Manifest(
            domain=self._domain,
            host=host.name,
            made=now.isoformat(timespec="seconds"),
            commit=commit(),
            images=self._images,
            files=bundle.digests(files),
        )
        for line in summary(files):
            host.log(f"saved: {line}")
        encrypted = encrypt(bundle.pack(Bundle(manifest, files)), self._recipients)
        try:
            place = shelf.put(self._directory, shelf.file_name(host.name, now), encrypted)
        except OSError as error:
            return _failed(host, [f"backup_directory: {error}"], "make room, or name another directory")
        count = "1 key" if len(self._recipients) == 1 else f"{len(self._recipients)} keys"
        host.log(f"{len(files)} files, encrypted to {count}: {place} ({len(encrypted)} bytes)")
        return True


def _files(lines: list[str]) -> dict[str, bytes]:
    """Those files in the host's answer that a backup holds.

    Raises:
        BundleError: it is not whole.
    """
    try:
        content = base64.b64decode("".join(lines), validate=True)
    except ValueError:
        raise BundleError("it is not whole") from None
    return {path: content for path, content in bundle.members(content).items() if places.belongs(path)}


def _failed(host: Host, problems: list[str], fix: str) -> bool:
    for line in [*problems[:10], f"no backup was made; {fix}"]:
        host.log_styled(line, fg="red")
    return False
