"""What a host is made of: all that the deploys, and the programs that they bring, leave on it. Pure.

deploys/audit.py compares a host with it, deploys/teardown.py takes a host down by it. What the steps of
deploys/voice.py write is asked of the functions that they use; what programs write on the host is listed here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Literal

from on_host.paths import DIGEST_ENV
from voicestack import remote
from voicestack.host import base, docker, nvidia
from voicestack.host.packages import APT, PackageSet
from voicestack.host.platform import Platform, driver_pinning_packages, repositories
from voicestack.host.volume import DROP_IN
from voicestack.paths import HOME, STATE
from voicestack.remote import File
from voicestack.secrets.run import READERS
from voicestack.settings.host import SUPPORTED
from voicestack.settings.model import Settings
from voicestack.stack.operations import BUILD, PULLER, STAGED
from voicestack.stack.render import HostFacts, render
from voicestack.verify import operations as verify
from voicestack.weights.operations import HOME as FETCHER

Kind = Literal["plain", "secret"]
"""`secret`: key pairs, certificates, environments."""

PROJECT = "voice"
"""Compose's name for the stack."""
OF_COMPOSE = (
    f"network {PROJECT}_default",
    *(f"volume {PROJECT}_{name}" for name in ("gpu-start", "voxtral-cache", "guard-cache")),
)
"""What it makes beside containers: caches and a lock, nothing that a new start does not make again."""

OF_A_RUN = frozenset(["voice-gate", "voice-gpu-proof"])
"""Containers that a run of this repository uses for a moment."""

BUILT = re.compile(r"(voice-agent|voice-caddy):[0-9a-f]{16}")
"""Images that hosts build (voicestack/images.py)."""

_PAIRS = (*(file for files in READERS.values() for file in files), DIGEST_ENV)
_SECRET = (
    *(f"{HOME}/{file}{replaced}" for file in _PAIRS for replaced in ("", ".2*")),
    *(f"{STATE}/caddy/{tree}/" for tree in ("data", "replaced")),
)
_PLAIN = (
    *(f"{place}/" for place in (STAGED, BUILD, PULLER, verify.PLACE, remote.STAGING, FETCHER)),
    *(f"{HOME}/{path}" for path in ("releases/", ".running.json", ".running.new", "caddy/.restored")),
    # The last one is of earlier deploys: what they installed and pulled.
    *(f"{STATE}/{path}" for path in ("caddy/config/", "gpu-proof", "made")),
    *(base.SYSCTL, DROP_IN),
)
WRITTEN: Mapping[str, Kind] = {**dict.fromkeys(_SECRET, "secret"), **dict.fromkeys(_PLAIN, "plain")}
"""What programs write, and of the machine's files those that are the stack's alone. `*` is any part of one name; with a
`/` at the end: the directory with all that is in it."""


def stack_files(settings: Settings, public_address: str = "") -> dict[str, File]:
    """Path -> file of the stack, as the deploy renders it."""
    facts = HostFacts(public_address=public_address, agent_image=settings.agent_build.name)
    return {f"{HOME}/{path}": file for path, file in render(settings, facts).items()}


def wanted_packages(settings: Settings, platform: Platform) -> PackageSet:
    """The sets of the deploy's steps as one."""
    driver, engine = nvidia.wanted_packages(settings, platform), docker.wanted_packages(settings, platform)
    base_packages = (*base.BASE_PACKAGES, *driver_pinning_packages(settings, platform))
    return PackageSet(
        install={**dict.fromkeys(base_packages, ""), **driver.install, **engine.install},
        absent=engine.absent,
        repositories=repositories(settings, platform),
        files={**base.wanted_files(settings), **driver.files},
        hold=(*driver.hold, *engine.hold),
        hold_if_installed=driver.hold_if_installed,
    )


def machine_files(settings: Settings) -> tuple[str, ...]:
    """What belongs to driver, toolkit and Docker, on any distribution; others' that a deploy put aside (patterns)."""
    found = [docker.DAEMON_JSON, *(f"{each}.before-voice" for each in (docker.DAEMON_JSON, f"{APT}/sources.list"))]
    for distribution in SUPPORTED:
        wanted = wanted_packages(settings, Platform.pattern(distribution))
        found += [*wanted.all_files, *(each.keyring for each in wanted.repositories)]
    found.append(f"{APT}/sources.list.d/*.before-voice")
    return tuple(path for path in dict.fromkeys(found) if path not in WRITTEN)


def patterns(files: Mapping[str, File]) -> dict[str, Kind]:
    """WRITTEN, and the rendered `files`: programs and environments by any name, as other releases have others."""
    found = dict(WRITTEN)
    for path, file in files.items():
        place = PurePosixPath(path)
        beside = str(place.with_name(f"*{place.suffix}")) if place.suffix in (".py", ".env") else path
        found[beside] = "secret" if file.mode == 0o600 else "plain"
        if place.suffix == ".py":
            found[f"{place.parent}/__pycache__/"] = "plain"
    return found


def kind(path: str, known: Mapping[str, Kind] = WRITTEN) -> Kind | None:
    """What a path is, None for a stranger's; what a writer left beside its place (`.new`) counts as well."""

    def matches(pattern: str) -> bool:
        expression = "[^/]*".join(map(re.escape, pattern.split("*")))
        return re.fullmatch(f"{expression}(\\.new)?", path) is not None

    return next((kind for pattern, kind in known.items() if matches(pattern)), None)


def directories(known: Mapping[str, Kind]) -> tuple[str, ...]:
    """Those of the stack, the deepest first."""
    roots = (PurePosixPath(HOME), PurePosixPath(STATE))
    parents = {parent for path in known for parent in PurePosixPath(path).parents}
    ours = [each for each in parents if any(each.is_relative_to(root) for root in roots)]
    return tuple(str(each) for each in sorted(ours, key=lambda each: (-len(each.parts), each)))
