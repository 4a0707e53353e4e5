"""What the deploys make on a host, path by path, and what else has to be said before it goes. Pure.

`python -m voicestack.teardown.made` prints it as the table of docs/decisions/teardown.md, which a unit test compares.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from voicestack.host.docker import DAEMON_JSON
from voicestack.host.ledger import LEDGER
from voicestack.host.volume import DROP_IN
from voicestack.paths import HOME, STATE
from voicestack.stack.render import SERVICES
from voicestack.verify.operations import PLACE as GATES_PLACE

Goes = Literal["always", "secrets", "packages", "never"]
"""`secrets`: is moved to KEPT_ASIDE, and deleted only with teardown_secrets; `packages`: with teardown_packages."""

KEPT_ASIDE = "/var/backups/voice"
"""On the host, root's alone: what a teardown does not delete although it takes it out of use."""

KERNEL_PARAMETERS = "/etc/sysctl.d/60-voice.conf"
RECORD = "/var/log/voice/runs.jsonl"
VENDORS = ("nvidia-container-toolkit", "nvidia-driver", "docker")
"""Names of the repositories in voicestack/host/platform.py."""


@dataclass(frozen=True)
class Made:
    """A path that the deploys make.

    Attributes:
        path: a pattern in which `*` stands for any part of one name; with a `/` at the end: the directory with all of
            it, whoever wrote it.
        goes: when.
        by: who makes it.
    """

    path: str
    goes: Goes
    by: str

    @property
    def is_tree(self) -> bool:
        """Whether it is a directory that goes as a whole."""
        return self.path.endswith("/")


def _made(goes: Goes, by: str, *paths: str) -> tuple[Made, ...]:
    return tuple(Made(path, goes, by) for path in paths)


_CODE = (f"on_host/{package}{kind}" for package in ("", "start/") for kind in ("*.py", "__pycache__/"))
_PROGRAMS = ("start.py", "start.json", *_CODE)
_SECRETS = (f"{HOME}/secrets/{name}.env" for name in ("livekit", "livekit-digest", "bedrock"))
_REPLACED = (f"{HOME}/secrets/*.env.2*", f"{HOME}/livekit/keys.yaml.2*")
_SOURCES = (f"/etc/apt/sources.list.d/voice-{name}.sources" for name in VENDORS)
_KEYRINGS = (f"/etc/apt/keyrings/voice-{name}.gpg" for name in VENDORS)

MADE = (
    *_made("always", "the stack's files", f"{HOME}/compose.yml", f"{HOME}/caddy/Caddyfile"),
    *_made("always", "the stack's files", f"{HOME}/livekit/livekit.yaml", f"{HOME}/voxtral/voxtral_tts.yaml"),
    *_made("always", "the stack's files", *(f"{HOME}/engine/{name}" for name in ("*.py", "logging.json"))),
    *_made("always", "the stack's files", *(f"{HOME}/bin/{name}" for name in _PROGRAMS)),
    *_made("always", "a run that was cut off", *(f"{HOME}/{name}/" for name in (".staged", ".build", ".pull"))),
    *_made("always", "a run that was cut off", f"{GATES_PLACE}/", "/run/voice-stack-staging/"),
    *_made("always", "start.py", f"{HOME}/releases/", f"{HOME}/.running.json", f"{HOME}/.running.new"),
    *_made("always", "the weights' fetcher", f"{HOME}/weights/"),
    *_made("always", "a restored backup", f"{HOME}/caddy/.restored"),
    *_made("always", "Caddy", f"{STATE}/caddy/config/"),
    *_made("always", "the proof that containers see the GPU", f"{STATE}/gpu-proof"),
    *_made("always", "voicestack/host/base.py", KERNEL_PARAMETERS),
    *_made("always", "`weights_volume` (Docker's wait for the disk)", DROP_IN),
    *_made("secrets", "the key pairs", *_SECRETS, f"{HOME}/livekit/keys.yaml"),
    *_made("secrets", "the key pairs (replaced ones, dated)", *_REPLACED),
    *_made("secrets", "the stack's files", f"{HOME}/env/*.env"),
    *_made("secrets", "a restored backup (what it replaced)", f"{STATE}/caddy/replaced/"),
    *_made("secrets", "Caddy (certificates, the account at Let's Encrypt)", f"{STATE}/caddy/data/"),
    *_made("packages", "voicestack/host/base.py", "/etc/systemd/system/docker.service.d/10-voice-gpu.conf"),
    *_made(
        *("packages", "voicestack/host/nvidia.py", "/etc/modprobe.d/voice-blacklist-nouveau.conf"),
        "/etc/systemd/system/nvidia-persistenced.service.d/10-voice.conf",
        "/etc/systemd/system/voice-nvidia-uvm.service",
        "/etc/apt/apt.conf.d/52voice-unattended-upgrades",
    ),
    *_made("packages", "the vendors' repositories", *_SOURCES, *_KEYRINGS),
    *_made("packages", "voicestack/host/ledger.py", LEDGER),
    *_made("never", "voicestack/lock.sh", RECORD),
)
"""Beside them: what Docker and apt hold, DAEMON_JSON and the weights, where names alone do not tell (plan.py)."""

DIRECTORIES = (
    *(
        f"{HOME}/{name}"
        for name in (
            "bin/on_host/start",
            "bin/on_host",
            "bin",
            "caddy",
            "engine",
            "env",
            "livekit",
            "secrets",
            "voxtral",
        )
    ),
    HOME,
    f"{STATE}/caddy",
    STATE,
    "/etc/systemd/system/docker.service.d",
    "/etc/systemd/system/nvidia-persistenced.service.d",
)
"""Go once they are empty, in this order."""

SERVICES_BACKWARDS = tuple(reversed(SERVICES))
"""The agent first: its calls need all the others until it has drained."""

PROJECT = "voice"
VOLUMES = tuple(f"{PROJECT}_{name}" for name in ("gpu-start", "voxtral-cache", "guard-cache"))
NETWORK = f"{PROJECT}_default"
BUILT = re.compile(r"^(voice-agent|voice-caddy):[0-9a-f]{16}$")
"""Images that hosts build (voicestack/stack/images.py)."""

DOCKERS_PLACE = "/var/lib/docker"
CONTAINERDS_PLACE = "/var/lib/containerd"

BEYOND_PATHS = (
    ("containers, network and volumes of the Compose project `voice`", "always", "Compose"),
    ("images `voice-agent` and `voice-caddy`; Docker's build cache, unless others use this Docker", "always", "builds"),
    (f"images noted in `{LEDGER}`", "always", "pulls"),
    ("models with a `.provenance.json` in `weights_directory` and its `.replaced`", "weights", "the weights' fetcher"),
    ("`.staging` and `.lock` in `weights_directory`, with nobody else's in them", "weights", "the weights' fetcher"),
    ("the volume at `weights_directory` and the unit that mounts it", "never", "`weights_volume`"),
    (f"`{DAEMON_JSON}`: as it was before", "packages", "voicestack/host/docker.py"),
    (f"packages and holds noted in `{LEDGER}`", "packages", "apt"),
    (f"`{DOCKERS_PLACE}`, `{CONTAINERDS_PLACE}`, if Docker is one of them", "packages", "Docker"),
    (
        "others' apt sources that were moved aside (`*.before-voice`): come back",
        "packages",
        "voicestack/host/packages.py",
    ),
    ("users and groups that packages made (`docker`)", "never", "packages"),
    ("`/run/voice-run.lock`, which the next boot takes", "never", "voicestack/lock.sh"),
)


def made(path: str) -> Made | None:
    """What on the list `path` is, None for a stranger; what a writer left beside its place (`.new`) counts as well."""
    plain = path.removesuffix(".new")
    return next((each for each in MADE if _matches(each.path, plain) or _matches(each.path, path)), None)


def _matches(pattern: str, path: str) -> bool:
    parts = (re.escape(part) for part in pattern.split("*"))
    return re.fullmatch("[^/]*".join(parts), path) is not None


def table() -> str:
    """All of it as Markdown, one row for each maker and time."""
    rows: dict[tuple[str, str], list[str]] = {}
    for each in MADE:
        rows.setdefault((each.goes, each.by), []).append(f"`{each.path}`")
    lines = [f"| {', '.join(paths)} | {by} | {goes} |" for (goes, by), paths in rows.items()]
    lines += [f"| {what} | {by} | {goes} |" for what, goes, by in BEYOND_PATHS]
    return "\n".join(["| what | made by | goes |", "| --- | --- | --- |", *lines]) + "\n"


if __name__ == "__main__":
    print(table(), end="")
