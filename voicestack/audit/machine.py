"""Packages, driver, Docker's configuration, a pending reboot, the card's memory, what preflight says. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from voicestack.audit.facts import HostState
from voicestack.audit.findings import DEPLOY, Area, Finding
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
    change, area = packages_difference(wanted, state), Area("packages")
    for package in change.install:
        name, _, version = package.partition("=")
        installed = state.installed.get(name)
        area.fail(name, f"is {installed}, pinned is {version}" if installed else "is not installed")
    for name in change.remove:
        area.fail(name, "is in the way of ours")
    for name in change.hold:
        if name in state.installed:
            area.fail(name, "is not held")
    for path in change.rivals:
        area.fail(path, "names a repository of ours")
    for path, entry in state.shared.items():
        area.fail(path, f"names a repository of ours: {entry}", SEPARATE)
    for each in change.repositories:
        if each.keyring not in state.files:
            area.fail(each.keyring, "is missing")
    return area.or_ok(f"{len(wanted.install)} packages", "installed, at their pins, and held")


def docker(wanted: Mapping[str, Any], state: DockerState) -> list[Finding]:
    """daemon.json says what is wanted (it may say more), and the daemon has read it."""
    area = Area("docker")
    try:
        existing = parse_config(state.config)
    except ValueError as error:
        area.fail(DAEMON_JSON, str(error), f"mend or remove it, then {DEPLOY}")
        return area.findings
    merged = merge(existing, wanted)
    if merged != existing:
        diff = difference(DAEMON_JSON, _pretty(existing), _pretty(merged))
        area.fail(DAEMON_JSON, "lacks what the stack needs", diff=diff)
    if not state.active or not state.enabled:
        said = f"is {'active' if state.active else 'not active'} and {'enabled' if state.enabled else 'not enabled'}"
        area.fail("docker.service", said)
    elif state.stale:
        area.fail(DAEMON_JSON, "is newer than the daemon that runs")
    return area.or_ok(DAEMON_JSON, "says what is wanted, and the daemon has read it")


def driver(state: DriverState) -> list[Finding]:
    """The driver that is loaded is the one that is installed, and the one that nvidia-smi speaks."""
    area, known = Area("driver"), [each or "none" for each in (state.loaded, state.installed, state.smi)]
    if not state.agrees:
        said = "loaded {}, installed {}, nvidia-smi {}".format(*known)
        area.fail("NVIDIA", said, f"{DEPLOY}: it may reboot the host")
    elif not state.persistent:
        area.fail("NVIDIA", f"{state.loaded}, persistence mode is off")
    elif not state.uvm:
        area.fail("NVIDIA", "/dev/nvidia-uvm is missing: CUDA does not work")
    return area.or_ok("NVIDIA", f"{state.loaded} is loaded, installed and persistent")


def reboot(kernel: str, state: HostState) -> list[Finding]:
    """Whether a package asks for a reboot, or another kernel would be booted."""
    area, fix = Area("reboot"), "reboot when no call is under way, then run deploys/voice.py and deploys/verify.py"
    if state.reboot is not None:
        asking = state.reboot or "a package that does not say its name"
        area.warn("/run/reboot-required", f"asked for by {asking}", fix)
    if state.newest_kernel and state.newest_kernel != kernel:
        area.warn("kernel", f"{kernel} runs, the newest in /boot is {state.newest_kernel}", fix)
    return area.or_ok("the host", "nothing asks for one")


def memory(planned: MemoryPlan, state: HostState) -> list[Finding]:
    """What the cards have in use beside the plan: for information, as it moves with every call."""
    area = Area("memory")
    for index, (card, plan) in enumerate(zip(read(state.memory), planned.cards, strict=False)):
        used = f"{card.used_mib:,} of {card.total_mib:,} MiB in use"
        area.ok(f"GPU {index}", f"{used}; the plan is {plan.at_rest // MIB:,} at rest, {plan.peak // MIB:,} at most")
    return area.findings


def preflight(problems: Sequence[str]) -> list[Finding]:
    """What would make the next run refuse this host."""
    area = Area("preflight")
    for problem in problems:
        area.warn("the next run would refuse", problem)
    return area.or_ok("the next run", "finds what it needs")


def _pretty(config: Mapping[str, Any]) -> bytes:
    return json.dumps(config, indent=2, sort_keys=True).encode()
