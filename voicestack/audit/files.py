"""Files edited by hand, secrets that others can read, files that nobody of ours wrote. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from on_host.paths import DIGEST_ENV, KEYS_YAML, LIVEKIT_ENV
from voicestack.audit.facts import HostState
from voicestack.audit.findings import DEPLOY, Area, Finding
from voicestack.audit.redacted import difference
from voicestack.host.platform import Platform
from voicestack.parts import kind, stack_files, wanted_packages
from voicestack.paths import HOME
from voicestack.remote import File
from voicestack.settings.model import Settings

DIRECTORIES = (f"{HOME}/secrets", f"{HOME}/releases")
"""Root's alone; the releases hold the services' env files as they were."""

REQUIRED_SECRETS = tuple(f"{HOME}/{file}" for file in (LIVEKIT_ENV, DIGEST_ENV, KEYS_YAML))


def wanted_files(settings: Settings, platform: Platform, public_address: str) -> dict[str, File]:
    """Every file that deploys/voice.py leaves, by its path, but for weights and daemon.json, which is merged."""
    system = wanted_packages(settings, platform).all_files
    return {**stack_files(settings, public_address), **{path: File(text.encode()) for path, text in system.items()}}


def files(wanted: Mapping[str, File], state: HostState) -> list[Finding]:
    """Every file that is not as this clone makes it."""
    area = Area("files")
    for path, file in wanted.items():
        live, owner = state.files.get(path), f"{file.mode:o} {file.uid}"
        if live is None:
            area.fail(path, "is missing")
        elif live.sha256 != hashlib.sha256(file.content).hexdigest():
            diff = difference(path, live.content, file.content)
            area.fail(path, "differs from what this clone makes", diff=diff)
        elif live.owner != owner:
            # apt's and systemd's own files are compared by content alone when the deploy runs.
            fix = DEPLOY if path.startswith(f"{HOME}/") else f"chmod {file.mode:o} {path}; chown {file.uid} {path}"
            area.fail(path, f"has mode and owner {live.owner}, not {owner}", fix)
    return area.or_ok(f"{len(wanted)} files", "as this clone makes them")


def secrets(state: HostState) -> list[Finding]:
    """Mode and owner of the secrets' files: their content is read by nobody."""
    area = Area("secrets")
    for path in REQUIRED_SECRETS:
        if path not in state.secrets:
            area.fail(path, "is missing")
    for path, owner in state.secrets.items():
        mode = "700" if path in DIRECTORIES else "600"
        if owner != f"{mode} 0":
            fix = f"chmod {mode} {path}; chown root: {path}; who could read it?"
            area.fail(path, f"has mode and owner {owner}, not {mode} 0", fix)
    return area.or_ok(f"{len(state.secrets)} files and directories", "root's alone")


def others(wanted: Mapping[str, File], state: HostState) -> list[Finding]:
    """Files in the stack's home that come neither from this repository nor from the stack itself."""
    area, fix = Area("files"), "look where it comes from; nothing here reads it or removes it"
    for path in state.others:
        if path not in wanted and kind(path) is None:
            area.warn(path, "does not come from this repository", fix)
    return area.findings
