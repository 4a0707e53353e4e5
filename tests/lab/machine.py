"""The process side of a lab host: systemd-nspawn under a supervisor that plays the power supply.

Run as `python -m tests.lab.machine NAME` it is that supervisor.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.lab import network, ssh, volume
from tests.lab.console import run
from tests.lab.daemon import Daemon, LabError, await_condition
from tests.lab.disk import discard, mounts_below
from tests.lab.places import BRIDGE, STATE

_CGROUPS = STATE / "cgroup"
_NSPAWN_RUNTIME = Path("/run/systemd/nspawn")
_REBOOT = 133
"""How nspawn, told to keep its unit, says that the guest asked for a reboot (systemd-nspawn(1))."""


def root_of(name: str) -> Path:
    """The host's root filesystem."""
    return STATE / "hosts" / name


def supervisor(name: str) -> Daemon:
    """The background process that keeps the host powered."""
    return Daemon(f"host-{name}")


def start(name: str) -> None:
    """Boot the host, unless it runs; what a killed supervisor left behind is cleared first."""
    if supervisor(name).pid() is not None:
        return
    kill(name)
    _prepare_nspawn()
    _cgroup(name).mkdir(parents=True, exist_ok=True)
    supervisor(name).start([sys.executable, "-m", "tests.lab.machine", name])


def await_ssh(name: str) -> None:
    """Return once a command can be run on the host; say how its boot went if that never comes."""
    watcher = supervisor(name)

    def ready() -> bool:
        if watcher.pid() is None:
            tail = "\n".join(watcher.log.read_text(errors="replace").splitlines()[-20:])
            raise LabError(f"host {name} does not boot; the end of {watcher.log}:\n{tail}")
        return ssh.answers(name)

    await_condition(f"ssh to host {name}", ready, seconds=90, every=0.3)


def kill(name: str) -> None:
    """Cut the power: every process of the host ends, whoever its supervisor was."""
    _mount_cgroups()
    cgroup = _cgroup(name)
    if cgroup.exists():
        (cgroup / "cgroup.kill").write_text("1")
        await_condition(f"the end of host {name}", lambda: not _populated(cgroup), seconds=20)
        _remove_cgroup(cgroup)
    supervisor(name).stop()
    network.delete_interface(f"vb-{_machine(name)}")
    # What a killed nspawn could not put away makes the next one refuse to start.
    for leftover in _NSPAWN_RUNTIME.glob(f"*/{_machine(name)}"):
        discard(leftover)


def remove_mounts() -> None:
    """Unmount what the lab mounted on the controller; every host is gone by then."""
    if (_CGROUPS / "voice-lab").exists():
        _remove_cgroup(_CGROUPS / "voice-lab")
    for point in (*mounts_below(_CGROUPS), _NSPAWN_RUNTIME):
        if _mounted_from(point) == "voice-lab":
            run("umount", point)


def _machine(name: str) -> str:
    return f"vlab-{name}"


def _cgroup(name: str) -> Path:
    return _CGROUPS / "voice-lab" / name


def _prepare_nspawn() -> None:
    """Give nspawn a tmpfs below /run: it hands mounts to its guest through it and insists on one."""
    if _filesystem_of(_NSPAWN_RUNTIME.parent) != "tmpfs" and _mounted_from(_NSPAWN_RUNTIME) is None:
        _NSPAWN_RUNTIME.mkdir(parents=True, exist_ok=True)
        run("mount", "-t", "tmpfs", "voice-lab", _NSPAWN_RUNTIME)


def _mount_cgroups() -> None:
    """A version 2 hierarchy of our own: it exists next to version 1 even where nobody has mounted it."""
    if _mounted_from(_CGROUPS) is None:
        _CGROUPS.mkdir(parents=True, exist_ok=True)
        run("mount", "-t", "cgroup2", "voice-lab", _CGROUPS)


def _filesystem_of(path: Path) -> str:
    existing = next(parent for parent in (path, *path.parents) if parent.exists())
    return run("stat", "--file-system", "--format=%T", existing).strip()


def _mounted_from(point: Path) -> str | None:
    """The source of the mount at exactly this place, the topmost one; None where nothing is mounted."""
    sources = [
        line.partition(" - ")[2].split()[1]
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if line.split()[4] == str(point)
    ]
    return sources[-1] if sources else None


def _populated(cgroup: Path) -> bool:
    return "populated 1" in (cgroup / "cgroup.events").read_text()


def _remove_cgroup(cgroup: Path) -> None:
    for directory, _, _ in os.walk(cgroup, topdown=False):
        Path(directory).rmdir()


def _nspawn(name: str) -> list[str]:
    return [
        "systemd-nspawn",
        f"--directory={root_of(name)}",
        f"--machine={_machine(name)}",
        "--boot",
        f"--network-bridge={BRIDGE}",
        "--capability=all",
        "--system-call-filter=@keyring bpf",
        "--register=no",
        "--keep-unit",
        "--console=read-only",
        "--link-journal=no",
        "--resolv-conf=off",
        "--timezone=off",
        *volume.options(name),
    ]


def _supervise(name: str) -> int:
    """Boot the host again for as long as it asks for that."""
    (_cgroup(name) / "cgroup.procs").write_text(str(os.getpid()))
    writable = "yes" if volume.has_slot(name) else "network"
    settings = {"SYSTEMD_NSPAWN_API_VFS_WRITABLE": writable, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
    while True:
        print(f"power on at {time.strftime('%H:%M:%S')}", flush=True)
        volume.prepare(name)
        status = subprocess.run(_nspawn(name), env={**os.environ, **settings}, check=False).returncode
        if status != _REBOOT:
            return status


if __name__ == "__main__":
    sys.exit(_supervise(sys.argv[1]))
