"""Files edited by hand, secrets that others can read, files that nobody of ours wrote. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from on_host.paths import DIGEST_ENV, KEYS_YAML, LIVEKIT_ENV
from voicestack.audit.facts import HostState
from voicestack.audit.findings import DEPLOY, Finding, or_ok
from voicestack.audit.redacted import difference
from voicestack.parts import kind
from voicestack.paths import HOME
from voicestack.remote import File

DIRECTORIES = (f"{HOME}/secrets", f"{HOME}/releases")
"""Root's alone; the releases hold the services' env files as they were."""

REQUIRED_SECRETS = tuple(f"{HOME}/{file}" for file in (LIVEKIT_ENV, DIGEST_ENV, KEYS_YAML))


def files(wanted: Mapping[str, File], state: HostState) -> list[Finding]:
    """Every file that is not as this clone makes it."""
    found = [finding for path, file in wanted.items() if (finding := _file(path, file, state)) is not None]
    return or_ok(found, "files", f"{len(wanted)} files", "as this clone makes them")


def _file(path: str, file: File, state: HostState) -> Finding | None:
    live, owner = state.files.get(path), f"{file.mode:o} {file.uid}"
    if live is None:
        return Finding("files", "fail", path, "is missing", DEPLOY)
    if live.sha256 != hashlib.sha256(file.content).hexdigest():
        diff = difference(path, live.content, file.content)
        return Finding("files", "fail", path, "differs from what this clone makes", DEPLOY, diff)
    # apt's and systemd's own files are compared by content alone when the deploy runs.
    if live.owner != owner:
        fix = DEPLOY if path.startswith(f"{HOME}/") else f"chmod {file.mode:o} {path}; chown {file.uid} {path}"
        return Finding("files", "fail", path, f"has mode and owner {live.owner}, not {owner}", fix)
    return None


def secrets(state: HostState) -> list[Finding]:
    """Mode and owner of the secrets' files: their content is read by nobody."""
    found = [
        Finding("secrets", "fail", path, "is missing", DEPLOY) for path in REQUIRED_SECRETS if path not in state.secrets
    ]
    for path, owner in state.secrets.items():
        right = "700 0" if path in DIRECTORIES else "600 0"
        if owner != right:
            fix = f"chmod {right.split(maxsplit=1)[0]} {path}; chown root: {path}; who could read it?"
            found.append(Finding("secrets", "fail", path, f"has mode and owner {owner}, not {right}", fix))
    return or_ok(found, "secrets", f"{len(state.secrets)} files and directories", "root's alone")


def others(wanted: Mapping[str, File], state: HostState) -> list[Finding]:
    """Files in the stack's home that come neither from this repository nor from the stack itself."""
    strangers = [path for path in state.others if path not in wanted and kind(path) is None]
    fix = "look where it comes from; nothing here reads it or removes it"
    return [Finding("files", "warn", path, "does not come from this repository", fix) for path in strangers]
