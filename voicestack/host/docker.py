"""Docker Engine with Compose v2 and buildx: installed, configured by merging, proven to show containers the GPU."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyinfra.api.command import StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation
from pyinfra.context import host

from voicestack.bundle import CODE
from voicestack.host.packages import PackageSet, packages
from voicestack.host.platform import DISTRIBUTION_DOCKER_PACKAGES, DOCKER_CONFLICTS, Platform, docker_versions
from voicestack.remote import File, Rows, Streamed, place, refuse, script, script_file
from voicestack.settings.model import Settings

DAEMON_JSON = "/etc/docker/daemon.json"
CGROUP_DRIVER = "native.cgroupdriver"

_PROOF = Path(__file__).with_name("docker_gpu_proof.sh")
_PROOF_PROGRAM = (CODE / "engine" / "gpu_proof.py").read_text(encoding="utf-8")
PROOF_DIGEST = hashlib.sha256((_PROOF.read_text(encoding="utf-8") + _PROOF_PROGRAM).encode()).hexdigest()[:16]
"""What a host was proven by: another proof than the one on record proves it anew."""


@dataclass(frozen=True)
class DockerState:
    """daemon.json's text (None: no file), the daemon, and what the GPU was last proven with."""

    config: str | None = None
    active: bool = False
    enabled: bool = False
    stale: bool = False
    proof: str = ""
    proof_wanted: str = ""

    @property
    def is_proven(self) -> bool:
        """Containers were seen to use the GPU, by this proof, with all that is there now."""
        return self.proof == self.proof_to_record

    @property
    def proof_to_record(self) -> str:
        """What is proven, and by what."""
        return f"{self.proof_wanted} {PROOF_DIGEST}"


class Docker(FactBase[DockerState]):
    """Docker's state, in one ssh execution."""

    default = DockerState

    def command(self) -> str:
        """The script."""
        return script_file(__file__, "docker_state.sh")

    def process(self, output: list[str]) -> DockerState:
        """Parse the script's lines."""
        rows = Rows(output)
        return DockerState(
            config=base64.b64decode(rows.one("config")).decode() if "config" in rows else None,
            active="active" in rows,
            enabled="enabled" in rows,
            stale="stale" in rows,
            proof=rows.one("proof"),
            proof_wanted=rows.one("proof_wanted"),
        )


def install(settings: Settings, platform: Platform) -> None:
    """Docker's packages, its daemon.json, and the proof that containers see the GPU."""
    packages(
        name=f"Install Docker Engine, Compose and buildx from {settings.docker.source}",
        wanted=wanted_packages(settings, platform),
    )
    configure(name="Configure Docker (daemon.json, merged)", wanted=daemon_config(settings))
    prove_gpu(
        name="Prove that CUDA works in a container like the agent's, also after a daemon-reload",
        image=settings.image.agent_base,
    )


def wanted_packages(settings: Settings, platform: Platform) -> PackageSet:
    """Docker's packages, held; those of the other source removed."""
    if settings.docker.source == "distribution":
        names = DISTRIBUTION_DOCKER_PACKAGES[platform.distribution]
        return PackageSet(install=dict.fromkeys(names, ""), hold=names)
    versions = docker_versions(settings, platform)
    return PackageSet(install=versions, absent=DOCKER_CONFLICTS, hold=tuple(versions))


def daemon_config(settings: Settings) -> dict[str, Any]:
    """What daemon.json must say.

    cgroupfs, because under the systemd driver every `systemctl daemon-reload` takes the GPU away from running
    containers ("Failed to initialize NVML: Unknown Error"). Without CDI, because Docker >= 29.2 would take it before
    the runtime hook; why the hook is in docs/decisions/nvml-after-daemon-reload.md.
    """
    docker = settings.docker
    config: dict[str, Any] = {
        "log-driver": "json-file",
        "log-opts": {"max-size": docker.log_max_size, "max-file": str(docker.log_max_file)},
        "live-restore": True,
        "exec-opts": [f"{CGROUP_DRIVER}=cgroupfs"],
        "features": {"cdi": False},
        "runtimes": {"nvidia": {"args": [], "path": "nvidia-container-runtime"}},
    }
    if docker.registry_mirrors:
        config["registry-mirrors"] = list(docker.registry_mirrors)
    return config


def merge(existing: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """`existing` with `wanted` laid over it: tables merge, lists gain what they lack, the rest is replaced."""
    merged = dict(existing)
    for key, value in wanted.items():
        present = merged.get(key)
        if isinstance(value, Mapping) and isinstance(present, Mapping):
            merged[key] = merge(present, value)
        elif isinstance(value, list) and isinstance(present, list):
            kept = [item for item in present if key != "exec-opts" or not item.startswith(f"{CGROUP_DRIVER}=")]
            merged[key] = [*kept, *(item for item in value if item not in kept)]
        else:
            merged[key] = value
    return merged


def parse_config(text: str | None) -> dict[str, Any]:
    """daemon.json's text as a table.

    Raises:
        ValueError: if it is not a JSON object; a file that cannot be read is not overwritten.
    """
    if text is None or not text.strip():
        return {}
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{DAEMON_JSON} on the host is not JSON ({error}); mend or remove it") from error
    if not isinstance(parsed, dict):
        raise ValueError(f"{DAEMON_JSON} on the host is not a JSON object; mend or remove it")
    return parsed


@operation()
def configure(wanted: Mapping[str, Any]) -> Generator[StringCommand, None, None]:
    """Merge `wanted` into daemon.json and have the daemon run with it.

    The previous file stays beside as daemon.json.before-voice; dockerd itself validates the new one first.
    """
    state = host.get_fact(Docker)
    try:
        existing = parse_config(state.config)
    except ValueError as error:
        yield refuse(str(error))
        return
    merged = merge(existing, wanted)
    # JSON has no order of keys: 1 == 1.0 and the like aside, equal tables are the same configuration.
    changed = merged != existing
    restarts = changed or state.stale or not state.active
    if changed:
        text = json.dumps(merged, indent=2, sort_keys=True) + "\n"
        candidate = f"{DAEMON_JSON}.candidate"
        yield place({candidate: File(text.encode())})
        yield StringCommand(
            script(
                f"dockerd --validate --config-file {candidate} >/dev/null\n"
                f"if [ -e {DAEMON_JSON} ] && ! [ -e {DAEMON_JSON}.before-voice ]; then\n"
                f"    cp -p {DAEMON_JSON} {DAEMON_JSON}.before-voice\n"
                f"fi\n"
                f"mv {candidate} {DAEMON_JSON}"
            )
        )
    if restarts:
        yield StringCommand(script("systemctl restart docker.service"))
    if not state.enabled:
        yield StringCommand(script("systemctl enable docker.service"))
    if state.enabled and not restarts:
        host.noop("daemon.json is as wanted and the running daemon has read it")


@operation()
def prove_gpu(image: str) -> Generator[StringCommand, None, None]:
    """Have CUDA asked in a container before and after a daemon-reload, once for each set of versions and settings."""
    state = host.get_fact(Docker)
    if state.is_proven:
        host.noop("proven with this driver, toolkit, Docker and daemon.json")
        return
    # daemon.json may be changed by an earlier operation of this run: ask again for what is to be proven.
    yield Streamed(script_file(__file__, _PROOF.name, image, state.proof_to_record, _PROOF_PROGRAM))
