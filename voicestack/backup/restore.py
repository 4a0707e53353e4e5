"""The operation behind deploys/restore.py: a backup's files are on the host, where and as the stack reads them.

A backup is decrypted in this process's memory, and everything about it is checked before the host is asked for its
lock. Its content is no operation's argument: the operation knows the backup by its file's name.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Generator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.operation import operation
from pyinfra.context import host

from voicestack import age as encryption
from voicestack.age import DecryptionError, IdentityError
from voicestack.backup import bundle, contents, places
from voicestack.backup.bundle import LARGEST, Bundle, BundleError
from voicestack.paths import HOME
from voicestack.remote import File, Streamed, script_file, tree_on_stdin
from voicestack.secrets.run import KeyPair, livekit_keys
from voicestack.settings.model import Settings
from voicestack.stack import operations as stack

IDENTITY = "AGE_IDENTITY_FILE"
STAGED = "/run/voice-restore"
"""On the host, in memory."""

PLACES = tuple(place.lstrip("/") for place in (HOME, places.CADDY))
"""What restore.sh writes below."""

KEYS_SCRIPT = Path(stack.__file__).with_name("keys.sh")


class RestoreError(PyinfraError):
    """A backup cannot be restored; the message names each setting, the problem and the fix. Nothing was changed."""


class Source(NamedTuple):
    """Where a backup and the identity that reads it are on the controller."""

    file: str
    identity: str


def source(settings: Settings, environment: Mapping[str, str] = os.environ) -> Source:
    """The files that this run names.

    Raises:
        RestoreError: with a line for each setting that is missing or names nothing that can be read.
    """
    chosen = Source(settings.restore.file, settings.restore.identity or environment.get(IDENTITY, ""))
    problems = []
    if not chosen.file:
        problems.append("restore_file: empty; name a file that deploys/backup.py wrote")
    elif not Path(chosen.file).is_file():
        problems.append(f"restore_file: {chosen.file} is not a file; paths are relative to the repository's root")
    elif Path(chosen.file).stat().st_size > LARGEST:
        problems.append(f"restore_file: {chosen.file} is no backup: it has more than {LARGEST >> 20} MiB")
    if not chosen.identity:
        problems.append(f"restore_identity: empty; set it, or {IDENTITY}, to the file with your AGE-SECRET-KEY")
    elif not Path(chosen.identity).exists():
        problems.append(f"restore_identity: {chosen.identity} does not exist (also looked for in {IDENTITY})")
    if problems:
        raise _refusal(problems)
    return chosen


@functools.cache
def opened(chosen: Source) -> Bundle:
    """The backup, decrypted and checked; once for all hosts and operations of a run.

    Raises:
        RestoreError: the identity is unusable or another one's, or the backup is not as it was made.
    """
    try:
        known = encryption.identities(Path(chosen.identity))
    except IdentityError as error:
        raise _refusal([f"restore_identity: {chosen.identity} {error}"]) from None
    try:
        backup = bundle.unpack(encryption.decrypt(Path(chosen.file).read_bytes(), known))
    except (DecryptionError, BundleError, OSError) as error:
        raise _refusal([f"restore_file: {chosen.file}: {error}; take another backup or identity"]) from None
    if problems := [*contents.unusable_pairs(backup.files), *contents.torn(backup.files)]:
        raise _refusal([f"restore_file: {chosen.file}: {each}" for each in problems])
    return backup


def check(settings: Settings) -> None:
    """Whether this host's backup can be restored.

    Raises:
        RestoreError: with a line for each problem.
    """
    manifest = opened(source(settings)).manifest
    wanted = settings.restore.domain or settings.site.domain
    if manifest.domain != wanted:
        setting = "restore_domain" if settings.restore.domain else "site_domain"
        raise _refusal(
            [
                f"restore_file: {settings.restore.file} is a backup of {manifest.domain}, {setting} is {wanted}; "
                f"if that is meant: --data restore_domain={manifest.domain}"
            ]
        )


def install(settings: Settings) -> None:
    """Bring the backup to this host, and have the services that read it read it again."""
    chosen = source(settings)
    manifest = opened(chosen).manifest
    restore(
        name=f"Restore the backup of {manifest.domain}, made on {manifest.host} at {manifest.made}",
        file=chosen.file,
        identity=chosen.identity,
        with_agents=settings.agent.aws_keys == "keep",
    )
    stack.restart(name="Restart the services that read what was restored", _if=_in_any_case)


def _in_any_case() -> bool:
    """Not only if something changed: a run that was broken off before this step has left it to do.

    A condition all the same, because that is how a dry run shows it: the host can answer only then.
    """
    return True


@operation()
def restore(file: str, identity: str, with_agents: bool) -> Generator[StringCommand, None, None]:
    """What the backup has is on the host; what it replaces is kept there, dated.

    Args:
        file: the backup, on the controller.
        identity: the file with the identity that reads it.
        with_agents: whether the agent's key pair for AWS is restored, if the backup has one.
    """
    saved = opened(Source(file, identity)).files
    gone = contents.ended(saved, datetime.now(timezone.utc))
    if gone:
        host.log(f"not restored, for the certificates have ended: {', '.join(gone)}; Caddy gets new ones")
    if places.AGENT_ENV in saved and not with_agents:
        host.log("the agent's key pair for AWS is not restored: agent_aws_keys = 'none'")
        gone = [*gone, places.AGENT_ENV]
    files = {path: content for path, content in saved.items() if path not in gone}
    livekit, agent = contents.pair(files, places.LIVEKIT_ENV), contents.pair(files, places.AGENT_ENV)
    given = livekit_keys()
    if given and given != livekit:
        host.log("this run brings another LIVEKIT_API_KEY: a run of deploys/voice.py would put that one in place again")
    certificates = {path: content for path, content in files.items() if places.is_caddys(path)}
    if _is_there(livekit, agent, certificates):
        host.noop("the host has what is in the backup")
        return
    for line in contents.summary(files):
        host.log(f"restores: {line}")
    lines = [each.line() if each else "" for each in (livekit, agent)]
    tree = {
        "keys": File("".join(f"{line}\n" for line in lines).encode(), 0o600),
        "keys.sh": File(KEYS_SCRIPT.read_bytes()),
        **{f"tree/{path}": File(content, 0o600) for path, content in certificates.items()},
    }
    yield Streamed(script_file(__file__, "restore.sh", STAGED, places.ROOT, *PLACES), _stdin=tree_on_stdin(tree))


def _is_there(livekit: KeyPair | None, agent: KeyPair | None, certificates: Mapping[str, bytes]) -> bool:
    state = host.get_fact(stack.Stack, files=" ".join(f"{places.ROOT}{path}" for path in certificates))
    return stack.has_pairs(state, livekit, agent) and all(
        state.files.get(f"{places.ROOT}{path}") == (hashlib.sha256(content).hexdigest(), "600 0")
        for path, content in certificates.items()
    )


def _refusal(problems: list[str]) -> RestoreError:
    return RestoreError("\n  - ".join(["the backup cannot be restored; nothing was changed:", *problems]))
