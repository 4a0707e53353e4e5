"""A volume for the weights, which outlives the host: formatted if it is blank, mounted before Docker starts."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Generator

from pyinfra.api.command import StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.context import host

from voicestack.host.volume_state import LABEL, VolumeState, escaped, refusals, todo
from voicestack.remote import File, Rows, Streamed, place, refuse, script, script_file
from voicestack.settings.model import Settings

DROP_IN = "/etc/systemd/system/docker.service.d/20-voice-volume.conf"


class Volume(FactBase[VolumeState]):
    """Everything volume_state.sh reads, in one ssh execution."""

    default = VolumeState

    def command(self, disk: str, directory: str, files: str, unit: str, models: str) -> str:
        """The script with its arguments."""
        return script_file(__file__, "volume_state.sh", disk, directory, files, unit, models)

    def process(self, output: list[str]) -> VolumeState:
        """What it prints, by its keys."""
        rows = Rows(output)
        device, number, size, read_only = rows.first("device", 4)
        probe = rows.pairs("probe")
        count, block = rows.first("blocks", 2)

        def firsts(key: str) -> tuple[str, ...]:
            return tuple(filter(None, rows.each(key)))

        return VolumeState(
            device=device,
            number=number,
            size=int(size or 0),
            read_only=read_only == "1",
            model=" ".join(firsts("model")),
            users=firsts("user"),
            signatures=firsts("signature"),
            zeros="zeros" in rows,
            label=probe.get("LABEL", ""),
            uuid=probe.get("UUID", ""),
            fs_size=int(count or 0) * int(block or 0),
            models=frozenset(firsts("model_there")),
            mounted=tuple(rows.first("mounted", 0)),
            content=firsts("content"),
            fstab=" ".join(firsts("fstab")),
            files=rows.pairs("file"),
            enabled="enabled" in rows,
            missing=firsts("missing"),
            disks=firsts("disk"),
        )


def install(settings: Settings) -> None:
    """The weights' disk in its place, where the settings name one."""
    if settings.weights.volume:
        mounted(
            name=f"Mount the weights' volume at {settings.weights.directory}, and let Docker start only with it",
            settings=settings,
        )


def ask(host: Host, settings: Settings) -> VolumeState | None:
    """What the host says about the weights' disk; None where the settings name none."""
    if not settings.weights.volume:
        return None
    directory = settings.weights.directory
    return host.get_fact(
        Volume,
        disk=settings.weights.volume,
        directory=directory,
        files=f"{unit_path(directory)} {DROP_IN}",
        unit=unit_name(directory),
        models=" ".join(settings.models),
    )


def unit_name(directory: str) -> str:
    """The mount unit for a directory: systemd insists on the name."""
    return f"{escaped(directory)}.mount"


def unit_path(directory: str) -> str:
    """Where that unit lies."""
    return f"/etc/systemd/system/{unit_name(directory)}"


def wanted_files(directory: str, identity: str) -> dict[str, str]:
    """Path -> text of what systemd reads; `identity` is the file system's UUID.

    nofail keeps the boot from waiting for the disk, so that ssh comes up without it; Docker does wait (90 s, systemd's
    own patience with devices), and without the disk it does not start. It does not require the mount: a client at
    Docker's socket would ask for it again each time that it failed, 90 s each, and hang for as long as it lives. A
    failed assertion ends that at once.
    """
    disk = f"/dev/disk/by-uuid/{identity}"
    check = f"systemd-fsck@{escaped(disk)}.service"
    mount = (
        "# Managed by the voice stack's deploys.\n"
        "[Unit]\n"
        "Description=The voice stack's weights, on a disk that outlives this host\n"
        f"Requires={check}\n"
        f"After={check}\n\n"
        "[Mount]\n"
        f"What={disk}\n"
        f"Where={directory}\n"
        "Type=ext4\n"
        "Options=nofail,noatime,nodev,nosuid,noexec\n\n"
        "[Install]\n"
        "WantedBy=multi-user.target\n"
    )
    docker = (
        "# Without the disk of the weights Docker does not start: its containers would see an empty directory.\n"
        "[Unit]\n"
        f"After={unit_name(directory)}\n"
        f"AssertPathIsMountPoint={directory}\n"
    )
    return {unit_path(directory): mount, DROP_IN: docker}


def steps(state: VolumeState, directory: str) -> tuple[str, ...]:
    """What is still to be done on a host where nothing speaks against the disk."""
    texts = wanted_files(directory, state.uuid)
    return todo(state, {path: hashlib.sha256(text.encode()).hexdigest() for path, text in texts.items()})


@operation()
def mounted(settings: Settings) -> Generator[StringCommand, None, None]:
    """Have the disk carry our file system, as large as it is, mounted at the weights' directory now and at every boot.

    A blank disk gets one. A disk with anything else on it, and a directory whose content it would hide, fail this host.
    """
    state = ask(host, settings) or VolumeState()
    disk, directory = settings.weights.volume, settings.weights.directory
    if problems := refusals(state, disk, directory):
        yield refuse("\n".join(problems))
        return
    asked = steps(state, directory)
    if not asked:
        host.noop(f"{disk} is mounted at {directory}")
        return
    identity = str(uuid.uuid4()) if "format" in asked else state.uuid

    def run(*what: str) -> Streamed:
        words = (" ".join(what), disk, LABEL, identity, directory, unit_name(directory))
        return Streamed(script_file(__file__, "volume.sh", *words))

    # systemd's files name the file system, so that comes first.
    if contents := [step for step in asked if step in ("format", "grow")]:
        yield run(*contents)
    if "files" in asked:
        yield place({path: File(text.encode()) for path, text in wanted_files(directory, identity).items()})
        yield StringCommand(script("systemctl daemon-reload"))
    if "mount" in asked:
        yield run("mount")
