"""The operations behind deploys/backup.py and deploys/restore.py.

What a backup holds is in this process's memory and nowhere else: not among an operation's arguments or results, which
pyinfra prints. So `restore` knows the backup by its file's name.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Generator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr
from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.operation import operation
from pyinfra.context import host

from voicestack import age
from voicestack.backup import contents
from voicestack.backup.contents import AGENT_ENV, CADDYS_DATA, LIVEKIT_ENV, NOTE
from voicestack.lock import commit
from voicestack.paths import HOME
from voicestack.pyinfra_insides import OwnCommand
from voicestack.remote import File, Streamed, refuse, script, script_file, tree_on_stdin
from voicestack.secrets.run import livekit_keys
from voicestack.settings.commands import Backup
from voicestack.settings.model import Settings
from voicestack.stack import operations as stack

if TYPE_CHECKING:
    from pyinfra.api.host import Host

ROOT = "/"
IDENTITY = "AGE_IDENTITY_FILE"
ATTEMPTS, PAUSE_S = 5, 1.0
"""Caddy writes the files of a certificate one after the other, within milliseconds."""

READ = """cd "$1"; shift
for each in "$@"; do if [ -e "$each" ]; then echo "$each"; fi; done | tar --create --files-from=- | base64"""
"""tar keeps a link as a link: what Caddy's container may have planted in its data leads nowhere."""


class BackupError(PyinfraError):
    """A backup cannot be restored; the message names the setting, the problem and the fix. Nothing was changed."""


@operation(is_idempotent=False)
def save(domain: str, wanted: Backup) -> Generator[StringCommand, None, None]:
    """A new file on the controller, as `wanted`, has what the host of `domain` cannot make again, encrypted."""
    if wanted.recipients:
        yield Save(domain, wanted)
    else:
        yield refuse("backup_recipients: empty; name the public keys that may read it, age1... of `age-keygen`")


class Save(OwnCommand):
    """Reads the host, encrypts, and writes the file; says of the content only the names."""

    def __init__(self, domain: str, wanted: Backup) -> None:
        super().__init__(script(READ, ROOT, LIVEKIT_ENV, AGENT_ENV, CADDYS_DATA))
        self._domain, self._wanted = domain, wanted

    def carry_out(self, host: Host, arguments: dict[str, Any]) -> bool:
        """Do it."""
        problems: list[str] = []
        for attempt in range(ATTEMPTS):
            time.sleep(PAUSE_S if attempt else 0)
            status, output = host.run_shell_command(self, print_output=False, **arguments)
            problems = ["the host cannot be read", *output.stderr_lines]
            if not status:
                continue
            try:
                files, _ = contents.members(base64.b64decode("".join(output.stdout_lines), validate=True))
            except ValueError as error:
                problems = [f"what the host sent {error}"]
                continue
            files = {path: content for path, content in files.items() if content}
            problems = contents.problems(files)
            if not problems:
                return self._keep(host, files)
        fix = "run deploys/voice.py, or if one certificate stays broken, remove its directory: Caddy gets a new one"
        return _failed(host, problems, fix)

    def _keep(self, host: Host, files: contents.Files) -> bool:
        now = datetime.now(timezone.utc)
        note = {"domain": self._domain, "host": host.name, "made": f"{now:%Y-%m-%dT%H:%M:%SZ}", "commit": commit()}
        archived = contents.pack({NOTE: json.dumps(note).encode(), **files})
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", host.name).strip("-.")
        place = Path(self._wanted.directory) / f"{name}-{now:%Y%m%dT%H%M%SZ}.tar.age"
        try:
            put(place, age.encrypt(archived, self._wanted.recipients))
        except OSError as error:
            return _failed(host, [f"backup_directory: {error}"], "make room, or name another directory")
        for path in sorted(files):
            host.log(f"saved: /{path}")
        host.log(f"{len(files)} files, encrypted to {len(self._wanted.recipients)} public key(s): {place}")
        return True


def put(place: Path, content: bytes) -> None:
    """Write a file that is its owner's alone from its first byte, and complete or not there; none is overwritten."""
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=place.parent) as beside:
        beside.write(content)
        beside.flush()
        os.fsync(beside.fileno())
        place.hardlink_to(beside.name)


def _failed(host: Host, problems: list[str], fix: str) -> bool:
    for line in [*problems[:10], f"no backup was made; {fix}"]:
        host.log_styled(line, fg="red")
    return False


@functools.cache
def opened(file: str, identity: str) -> tuple[str, dict[str, bytes]]:
    """A backup's domain and files, checked; read once in a run, because an identity may come through a pipe.

    Raises:
        BackupError: the identity is unusable or another one's, or the backup is not as it was made.
    """
    try:
        return contents.unpack(age.decrypt(Path(file).read_bytes(), Path(identity)))
    except (OSError, ValueError) as error:
        raise BackupError(f"restore_file: {file or 'empty'}: {error}; nothing was changed") from None


def to_restore(settings: Settings) -> tuple[str, str]:
    """The backup for this host, and the file with the identity that reads it; all of it is checked.

    Raises:
        BackupError: it cannot be restored.
    """
    file, identity = settings.restore.file, settings.restore.identity or os.environ.get(IDENTITY, "")
    if not (file and identity):
        raise BackupError(
            "restore_file must name a file that deploys/backup.py wrote, and restore_identity, or the environment's "
            f"{IDENTITY}, the file with your AGE-SECRET-KEY"
        )
    domain, _ = opened(file, identity)
    setting = "restore_domain" if settings.restore.domain else "site_domain"
    wanted = settings.restore.domain or settings.site.domain
    if domain != wanted:
        raise BackupError(
            f"restore_file: {file} is a backup of {domain!a}, {setting} is {wanted}; "
            f"if that is meant: --data restore_domain={domain!a}"
        )
    hosts = [each.name for each in host.state.inventory if host.state.is_host_in_limit(each)]
    if len(hosts) > 1:
        raise BackupError(f"--limit: the run is for {', '.join(hosts)}; name the one that the backup shall go to")
    return file, identity


@operation()
def restore(file: str, identity: str, with_agents: bool) -> Generator[StringCommand, None, None]:
    """What the backup has is on the host; what it replaces is kept there, dated.

    Args:
        file: the backup, on the controller.
        identity: the file with the identity that reads it.
        with_agents: whether the agent's key pair for AWS is restored, if the backup has one.
    """
    _, saved = opened(file, identity)
    gone = contents.ended(saved, datetime.now(timezone.utc))
    if not with_agents and AGENT_ENV in saved:
        gone.append(AGENT_ENV)
    if gone:
        host.log(f"not restored, for a certificate has ended, or agent_aws_keys = 'none': {', '.join(gone)}")
    files = {path: content for path, content in saved.items() if path not in gone}
    livekit, agent = (
        SecretStr(files.pop(path).decode("ascii")) if path in files else None for path in (LIVEKIT_ENV, AGENT_ENV)
    )
    if livekit_keys() not in (None, livekit):
        host.log("this run brings another LIVEKIT_API_KEY: a run of deploys/voice.py would put that one in place again")
    state = host.get_fact(stack.Stack, files=" ".join(f"{ROOT}{path}" for path in files))
    there = stack.has_pairs(state, livekit, agent)
    differing = {
        path.removeprefix(f"{CADDYS_DATA}/"): File(content, 0o600)
        for path, content in files.items()
        if state.files.get(f"{ROOT}{path}") != (hashlib.sha256(content).hexdigest(), "600 0")
    }
    if there and not differing:
        host.noop("the host has what is in the backup")
    if differing:
        words = script_file(__file__, "restore.sh", f"{ROOT}{CADDYS_DATA}", f"{HOME}/caddy")
        yield Streamed(words, _stdin=tree_on_stdin(differing))
    if not there:
        yield stack.put_pairs(livekit, agent)
