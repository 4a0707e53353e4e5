"""The disk for the weights as a host shows it, why it may not be used, and what is still to be done. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from voicestack.gpu.units import GIB, MIB

LABEL = "voice-models"
"""Of the file system that we make, and by which it is known as ours (16 bytes at most)."""

GROUP = 128 * MIB
"""Of a file system with blocks of 4 KiB: it may end up to a block group before its device does (resize2fs(8))."""

INSTANCE_STORE = "Instance Storage"
"""In the model that EC2's own disks, which are erased when the instance stops, give for their name."""


@dataclass(frozen=True)
class VolumeState:
    """What volume_state.sh read.

    Attributes:
        device: the kernel's name of it ("/dev/nvme1n1"); empty: not there.
        number: "259:1"; empty: not a block device.
        size: of it, in bytes.
        users: who else has it in use, each as the end of a sentence.
        signatures: what wipefs finds on it ("ext4", "gpt").
        zeros: whether its first MiB is empty.
        label: of its file system, as are `uuid` and `fs_size` (bytes; 0: unknown).
        models: the catalog's models that lie on it, seen without mounting it.
        mounted: number and source of what is mounted at the weights' directory; empty: nothing.
        content: names in the weights' directory where nothing is mounted.
        fstab: the line of /etc/fstab for the directory.
        files: path -> sha256 of what systemd reads.
        enabled: whether the mount unit is.
        missing: tools that are not installed.
        disks: name, size and model of the host's disks, if the device is not there.
    """

    device: str = ""
    number: str = ""
    size: int = 0
    read_only: bool = False
    model: str = ""
    users: tuple[str, ...] = ()
    signatures: tuple[str, ...] = ()
    zeros: bool = False
    label: str = ""
    uuid: str = ""
    fs_size: int = 0
    models: frozenset[str] = frozenset()
    mounted: tuple[str, ...] = ()
    content: tuple[str, ...] = ()
    fstab: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    enabled: bool = False
    missing: tuple[str, ...] = ()
    disks: tuple[str, ...] = ()

    @property
    def is_blank(self) -> bool:
        """Whether nobody ever wrote on it, as far as can be told."""
        return self.zeros and not self.signatures

    @property
    def is_ours(self) -> bool:
        """Whether it holds the file system that we made, and nothing beside it."""
        return self.signatures == ("ext4",) and self.label == LABEL

    @property
    def is_mounted(self) -> bool:
        """Whether it is what is mounted at the weights' directory."""
        return bool(self.number) and self.mounted[:1] == (self.number,)

    @property
    def is_larger_than_its_file_system(self) -> bool:
        """Whether it was enlarged and its file system does not know."""
        return 0 < self.fs_size <= self.size - GROUP


def refusals(state: VolumeState, volume: str, directory: str) -> list[str]:
    """Why `volume` may not be mounted at `directory`, each reason with its fix; none if it may."""
    if state.missing:
        return [f"{', '.join(state.missing)} cannot be found on the host; apt-get install e2fsprogs util-linux"]
    return [f"weights_volume: {reason}" for reason in (*_device(state, volume), *_place(state, volume, directory))]


def _device(state: VolumeState, volume: str) -> list[str]:
    """What speaks against the disk."""
    if not state.device:
        disks = "; ".join(state.disks) or "none"
        fix = "attach it to this instance, or correct the setting"
        return [f"{volume} does not exist on the host, whose disks are: {disks}; {fix}"]
    if not state.number:
        return [f"{volume} is no disk; name one"]
    problems = []
    if INSTANCE_STORE in state.model:
        problems.append(f"{volume} is an {state.model}, erased whenever the instance stops; name an EBS volume")
    if state.read_only:
        problems.append(f"{volume} is read only; attach it writable")
    if state.users:
        problems.append(f"{volume} {', '.join(state.users)}; free it, or name another disk")
    elif not state.is_blank and not state.is_ours:
        problems.append(f"{volume} {_holds(state, volume)}; nothing was written to it")
    return problems


def _holds(state: VolumeState, volume: str) -> str:
    """What is on a disk that is neither blank nor ours, and the way out."""
    if state.signatures == ("ext4",):
        named = f"labelled {state.label!r}" if state.label else "without a label"
        return f"holds an ext4 {named}; if it is for the models alone: e2label {volume} {LABEL}"
    what = " and ".join(state.signatures) or "data of an unknown kind"
    return f"holds {what}; if nobody needs that: wipefs -a {volume} && dd if=/dev/zero of={volume} bs=1M count=1"


def _place(state: VolumeState, volume: str, directory: str) -> list[str]:
    """What speaks against mounting it there."""
    problems = []
    if state.fstab:
        problems.append(f"/etc/fstab mounts something at {directory} too; remove its line ({state.fstab})")
    if state.mounted and not state.is_mounted:
        problems.append(f"{' '.join(state.mounted[1:])} is mounted at {directory}; umount {directory}")
    if state.content:
        shown = ", ".join(state.content[:3]) + (", ..." if len(state.content) > 3 else "")
        aside = f"{directory}.before-volume"
        problems.append(
            f"{volume} would hide what lies in {directory} on the root disk ({shown}). Move it on the host: "
            f"docker ps -q | xargs -r docker stop; mv -T {directory} {aside}; then run with --data "
            f"weights_source={aside}, which copies it to the volume, and remove it"
        )
    return problems


def todo(state: VolumeState, wanted: Mapping[str, str]) -> tuple[str, ...]:
    """What a disk that nothing speaks against still needs, of "format", "grow", "files" and "mount", in that order.

    `wanted` maps the paths of systemd's files to the sha256 they shall have.
    """
    steps = {
        "format": state.is_blank,
        "grow": state.is_larger_than_its_file_system,
        "files": dict(state.files) != dict(wanted),
        "mount": not state.is_mounted or not state.enabled,
    }
    return tuple(step for step, needed in steps.items() if needed)


def size_problem(state: VolumeState, needed_gib: float) -> list[str]:
    """Whether the disk is too small for the weights, whatever of them it holds already."""
    if not state.number or state.size >= needed_gib * GIB:
        return []
    fits = f"{state.size / GIB:.1f} GiB; {needed_gib:g} GiB are needed (preflight_disk_models_gib)"
    return [f"weights_volume: {fits}; enlarge it"]


def escaped(path: str) -> str:
    """A path as a unit's name has it (systemd.unit(5), "string escaping"); letters, digits, ".", "_", "-" and "/"."""
    parts = [part for part in PurePosixPath(path).parts if part != "/"]
    name = "-".join(part.replace("-", r"\x2d") for part in parts)
    return rf"\x2e{name[1:]}" if name.startswith(".") else name
