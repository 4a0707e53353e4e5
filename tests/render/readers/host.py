"""The host's files as their own programs read them: dockerd, systemd, the kernel's parameters, apt."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.lab import readers
from tests.lab.packages import debian
from tests.lab.packages.nvidia import persistence_unit
from voicestack.host import base, docker, nvidia, volume
from voicestack.host.platform import Platform, repositories
from voicestack.settings.model import Settings

VOLUME = "5f1c2a8e-6c55-4d6f-9d7a-2b1f0c9e8d11"
"""The UUID of a file system that a host would have named."""

_UNITS = "usr/lib/systemd/system"
_NOT_HERE = "is not executable: No such file or directory"


def files(settings: Settings, platform: Platform) -> dict[str, str]:
    """Every file that the deploys write on a host beside the stack's own, by its path there."""
    return {
        docker.DAEMON_JSON: json.dumps(docker.daemon_config(settings)),
        "/etc/sysctl.d/60-voice.conf": base.kernel_parameters(settings),
        "/etc/systemd/system/docker.service.d/10-voice-gpu.conf": base.DOCKER_AFTER_GPU,
        **volume.wanted_files(settings.weights.directory, VOLUME),
        **nvidia.wanted_packages(settings, platform).files,
        **{each.sources_file: each.sources for each in repositories(settings, platform)},
    }


def check_daemon_json(text: str, directory: Path) -> None:
    """Raise AssertionError unless dockerd accepts it."""
    file = directory / "daemon.json"
    file.write_text(text)
    proxy = debian.unpacked() / "docker.io/usr/sbin/docker-proxy"
    command = [str(readers.dockerd()), "--validate", f"--userland-proxy-path={proxy}", f"--config-file={file}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def check_units(files: Mapping[str, str], directory: Path) -> None:
    """Raise AssertionError unless systemd reads units, and drop-ins beside what they change, without a complaint."""
    for unit in ("docker.io/docker.service", "docker.io/docker.socket", "containerd/containerd.service"):
        package, _, name = unit.partition("/")
        (directory / name).write_text((debian.unpacked() / package / _UNITS / name).read_text())
    (directory / "nvidia-persistenced.service").write_text(persistence_unit("--no-persistence-mode", install=True))
    for path, text in files.items():
        place = directory / Path(path).relative_to("/etc/systemd/system")
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)
    # What a unit of ours names and systemd itself brings.
    for name in ("systemd-fsck@.service", "local-fs-pre.target", "umount.target", "multi-user.target"):
        (directory / name).write_text(Path("/usr/lib/systemd/system", name).read_text())
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(directory.glob("*[!@].service")), *directory.glob("*.mount")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{directory}:"},
    )
    # The units' programs are the host's.
    complaints = [line for line in done.stderr.splitlines() if not line.endswith(_NOT_HERE)]
    assert not complaints, complaints


def applied_parameters(text: str, directory: Path) -> str:
    """The ports this network reserves once systemd has read the file; anything it says is an AssertionError."""
    file = directory / "60-voice.conf"
    file.write_text(text)
    done = subprocess.run(["/usr/lib/systemd/systemd-sysctl", file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return Path("/proc/sys/net/ipv4/ip_local_reserved_ports").read_text().strip()


def apt_sources(texts: Mapping[str, str], directory: Path) -> set[str]:
    """What apt would fetch with these sources: `address suite`, a flat repository without a suite."""
    for name in ("sources", "lists/partial", "cache"):
        (directory / name).mkdir(parents=True)
    for path, text in texts.items():
        (directory / "sources" / Path(path).name).write_text(text)
    settings = {
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": directory / "sources",
        "Dir::State::Lists": directory / "lists",
        "Dir::Cache": directory / "cache",
    }
    options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    shown = "$(SITE) $(RELEASE)"
    command = ["apt-get", *options, "indextargets", "--no-release-info", "--format", shown, "Identifier: Packages"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return {line.strip() for line in done.stdout.splitlines()}


def apt_configuration(text: str, directory: Path) -> list[str]:
    """The packages that apt's reading of the file keeps from unattended upgrades."""
    file = directory / "52voice-unattended-upgrades"
    file.write_text(text)
    done = subprocess.run(
        ["apt-config", "-c", file, "dump", "--format", "%F %v%n", "Unattended-Upgrade::Package-Blacklist"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [line.partition(":: ")[2] for line in done.stdout.splitlines() if ":: " in line]
