"""A disk of its own for a lab host's /models, as EBS gives one: it outlives the host, and comes and goes while it runs.

It is a loop device over a sparse file. The host that has a slot for it (`spare`) has the kernel's node for that device
from its boot on, and a udev of its own: attaching and detaching are the kernel's own events there, with the links in
/dev/disk that udev makes of them, and systemd waits for the device as it does on a machine.
"""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
from pathlib import Path

from tests.lab.console import run
from tests.lab.daemon import LabError, await_condition
from tests.lab.disk import discard
from tests.lab.places import STATE

VOLUME_ID = "vol00000000000001ab"
BY_ID = f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{VOLUME_ID}"
"""The name under which a host sees its volume: what EC2's own rule for udev makes of an EBS volume's serial number."""

SIZE_MIB = 2048

_SLOTS = {"spare": 93}
"""Host -> number of its loop device, far from those that `losetup --find` gives to others."""

_CONTROL = Path("/dev/loop-control")
_ADD, _REMOVE = 0x4C80, 0x4C81
"""LOOP_CTL_ADD and LOOP_CTL_REMOVE of linux/loop.h."""

_RULE = """\
# Lab: the link that 60-persistent-storage.rules makes for an EBS volume. Without a backing file nothing is attached.
SUBSYSTEM=="block", KERNEL=="loop{number}", ATTR{{size}}!="0", SYMLINK+="{link}"
"""

_KERNEL_IS_SHARED = """\
# Lab: /sys is writable here for udev's sake, and with it /proc/sys; the kernel is the controller's too.
[Service]
ReadOnlyPaths=/proc/sys/kernel /proc/sys/fs /proc/sys/vm
"""

_PATIENCE = """\
# Lab: a disk that is there is there at once; nobody here waits 90 s for one that is not.
[Manager]
DefaultDeviceTimeoutSec=15s
"""


def has_slot(name: str) -> bool:
    """Whether that host can have a volume."""
    return name in _SLOTS


def install(root: Path, name: str) -> None:
    """Put what makes the volume's links into a guest's root filesystem."""
    if not has_slot(name):
        return
    rule = _RULE.format(number=_SLOTS[name], link=BY_ID.removeprefix("/dev/"))
    (root / "etc/udev/rules.d/90-lab-volume.rules").write_text(rule)
    for unit, text in (("system/systemd-sysctl.service.d", _KERNEL_IS_SHARED), ("system.conf.d", _PATIENCE)):
        drop_in = root / "etc/systemd" / unit / "lab.conf"
        drop_in.parent.mkdir(parents=True)
        drop_in.write_text(text)


def prepare(name: str) -> None:
    """Before every power on: the device's node, and a new /run/udev.

    PID 1 listens to udev only where it finds udev's socket when it starts, or a devtmpfs, which containers lack
    (sd_device_monitor_new in systemd's sources); udev replaces the empty file that stands in for the socket.
    """
    if not has_slot(name):
        return
    _make_node(_SLOTS[name])
    discard(_udev(name))
    _udev(name).mkdir(parents=True)
    (_udev(name) / "control").touch()


def options(name: str) -> list[str]:
    """What nspawn has to be told."""
    return [f"--bind={_device(name)}", f"--bind={_udev(name)}:/run/udev"] if has_slot(name) else []


def attach(name: str, *, mib: int = SIZE_MIB) -> None:
    """Attach the host's volume; a blank one of `mib` MiB if there is none yet, an enlarged one if it was smaller."""
    device, image = _device(name), _image(name)
    _make_node(_SLOTS[name])
    image.parent.mkdir(parents=True, exist_ok=True)
    size = mib * 2**20
    if not image.exists() or image.stat().st_size < size:
        with image.open("ab") as file:
            file.truncate(size)
    if _says(name, "AUTOCLEAR") == "1":
        await_condition(f"the volume of host {name} is let go", lambda: not is_attached(name), seconds=30)
    if is_attached(name):
        run("losetup", "--set-capacity", device)
    else:
        run("losetup", device, image)


def detach(name: str) -> None:
    """Take the volume away; one that is mounted goes when its host unmounts it, reboots or ends, as on EC2."""
    if is_attached(name):
        run("losetup", "--detach", _device(name))


def remove(name: str) -> None:
    """Delete the volume with what is on it; no host has it mounted."""
    detach(name)
    await_condition(f"the volume of host {name} is let go", lambda: not is_attached(name), seconds=30)
    _image(name).unlink(missing_ok=True)


def remove_all() -> None:
    """Leave no volume and no device node of the lab; every host is gone by then."""
    for name, number in _SLOTS.items():
        remove(name)
        if _device(name).exists():
            _ioctl(_REMOVE, number)


def is_attached(name: str) -> bool:
    """Whether the host's slot holds a volume."""
    return _says(name, "BACK-FILE") != ""


def _says(name: str, column: str) -> str:
    """What losetup says about the host's slot; nothing if it is empty."""
    words = ["losetup", "--noheadings", "--output", column, str(_device(name))]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def _device(name: str) -> Path:
    if not has_slot(name):
        raise LabError(f"host {name} has no slot for a volume; {', '.join(_SLOTS)} has one")
    return Path(f"/dev/loop{_SLOTS[name]}")


def _image(name: str) -> Path:
    return STATE / "volumes" / f"{name}.img"


def _udev(name: str) -> Path:
    return STATE / "udev" / name


def _make_node(number: int) -> None:
    try:
        _ioctl(_ADD, number)
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise LabError(f"no loop device can be made ({error}); the lab's volumes need the kernel's loop") from error


def _ioctl(request: int, number: int) -> None:
    control = os.open(_CONTROL, os.O_RDWR)
    try:
        fcntl.ioctl(control, request, number)
    finally:
        os.close(control)
