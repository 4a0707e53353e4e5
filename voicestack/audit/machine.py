"""Packages, driver, Docker's configuration, a pending reboot, the card's memory, what preflight says. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from voicestack.audit.facts import HostState
from voicestack.audit.findings import DEPLOY, Finding, or_ok
from voicestack.audit.redacted import difference
from voicestack.gpu.cards import read
from voicestack.gpu.plan import MemoryPlan
from voicestack.gpu.units import MIB
from voicestack.host.docker import DAEMON_JSON, DockerState, merge, parse_config
from voicestack.host.nvidia import DriverState
from voicestack.host.packages import SEPARATE, AptState, PackageSet
from voicestack.host.packages import difference as packages_difference


def packages(wanted: PackageSet, state: AptState) -> list[Finding]:
    """Packages that are missing, off their pins, in the way or free to change; repositories of others."""
    change = packages_difference(wanted, state)
    found = []
    for package in change.install:
        name, _, version = package.partition("=")
        installed = state.installed.get(name)
        said = f"is {installed}, pinned is {version}" if installed else "is not installed"
        found.append(Finding("packages", "fail", name, said, DEPLOY))
    found += [Finding("packages", "fail", name, "is in the way of ours", DEPLOY) for name in change.remove]
    found += [
        Finding("packages", "fail", name, "is not held", DEPLOY) for name in change.hold if name in state.installed
    ]
    found += [Finding("packages", "fail", path, "names a repository of ours", DEPLOY) for path in change.rivals]
    found += [
        Finding("packages", "fail", path, f"names a repository of ours: {entry}", SEPARATE)
        for path, entry in state.shared.items()
    ]
    found += [
        Finding("packages", "fail", each.keyring, "is missing", DEPLOY)
        for each in change.repositories
        if each.keyring not in state.files
    ]
    return or_ok(found, "packages", f"{len(wanted.install)} packages", "installed, at their pins, and held")


def docker(wanted: Mapping[str, Any], state: DockerState) -> list[Finding]:
    """daemon.json says what is wanted (it may say more), and the daemon has read it."""
    found = []
    try:
        existing = parse_config(state.config)
    except ValueError as error:
        return [Finding("docker", "fail", DAEMON_JSON, str(error), "mend or remove it, then run deploys/voice.py")]
    merged = merge(existing, wanted)
    if merged != existing:
        diff = difference(DAEMON_JSON, _pretty(existing), _pretty(merged))
        found.append(Finding("docker", "fail", DAEMON_JSON, "lacks what the stack needs", DEPLOY, diff))
    if not state.active or not state.enabled:
        said = f"is {'active' if state.active else 'not active'} and {'enabled' if state.enabled else 'not enabled'}"
        found.append(Finding("docker", "fail", "docker.service", said, DEPLOY))
    elif state.stale:
        found.append(Finding("docker", "fail", DAEMON_JSON, "is newer than the daemon that runs", DEPLOY))
    return or_ok(found, "docker", DAEMON_JSON, "says what is wanted, and the daemon has read it")


def driver(state: DriverState) -> list[Finding]:
    """The driver that is loaded is the one that is installed, and the one that nvidia-smi speaks."""
    versions = (
        f"loaded {state.loaded or 'none'}, installed {state.installed or 'none'}, nvidia-smi {state.smi or 'none'}"
    )
    if not state.agrees:
        return [Finding("driver", "fail", "NVIDIA", versions, f"{DEPLOY}: it may reboot the host")]
    if not state.persistent:
        return [Finding("driver", "fail", "NVIDIA", f"{state.loaded}, persistence mode is off", DEPLOY)]
    if not state.uvm:
        return [Finding("driver", "fail", "NVIDIA", "/dev/nvidia-uvm is missing: CUDA does not work", DEPLOY)]
    return [Finding("driver", "ok", "NVIDIA", f"{state.loaded} is loaded, installed and persistent")]


def reboot(state: HostState) -> list[Finding]:
    """Whether a package asks for a reboot, or another kernel would be booted."""
    found, fix = [], "reboot when no call is under way, then run deploys/voice.py and deploys/verify.py"
    if state.reboot:
        names = " ".join(state.reboot) or "a package that does not say its name"
        found.append(Finding("reboot", "warn", "/run/reboot-required", f"asked for by {names}", fix))
    if state.newest_kernel and state.newest_kernel != state.kernel:
        said = f"{state.kernel} runs, the newest in /boot is {state.newest_kernel}"
        found.append(Finding("reboot", "warn", "kernel", said, fix))
    return or_ok(found, "reboot", "the host", "nothing asks for one")


def memory(planned: MemoryPlan, state: HostState) -> list[Finding]:
    """What the cards have in use beside the plan: for information, as it moves with every call."""
    cards = read(state.memory)
    return [
        Finding(
            "memory",
            "ok",
            f"GPU {index}",
            f"{card.used_mib:,} of {card.total_mib:,} MiB in use; the plan is {plan.at_rest // MIB:,} at rest, "
            f"{plan.peak // MIB:,} at most",
        )
        for index, (card, plan) in enumerate(zip(cards, planned.cards, strict=False))
    ]


def preflight(problems: Sequence[str]) -> list[Finding]:
    """What would make the next run refuse this host."""
    found = [Finding("preflight", "warn", "the next run would refuse", problem) for problem in problems]
    return or_ok(found, "preflight", "the next run", "finds what it needs")


def _pretty(config: Mapping[str, Any]) -> bytes:
    return json.dumps(config, indent=2, sort_keys=True).encode()
