"""The simulated hardware of a lab host: an NVIDIA L4 on the PCI bus, as sysfs shows it."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

from tests.lab.console import run

_HERE = Path(__file__).parent
_SLOT = "0000:31:00.0"
_VENDOR, _DEVICE, _SUBSYSTEM = 0x10DE, 0x27B8, 0x16CA
_CLASS = 0x030200  # 3D controller: an accelerator without a display connector
_REVISION = 0xA1


def install(root: Path, *, gpu: bool, nouveau: bool) -> None:
    """Put the hardware's unit into a guest's root filesystem; without `gpu` the bus stays as it is.

    `nouveau`: the kernel has that driver, which takes the card at boot; EC2's Ubuntu kernels have it in
    linux-modules-extra alone, which their images lack.
    """
    library = root / "usr/lib/voice-lab"
    library.mkdir(parents=True)
    shutil.copy(_HERE / "lab-hardware", library)
    shutil.copy(_HERE / "lab-hardware.service", root / "etc/systemd/system")
    run("chroot", root, "systemctl", "enable", "lab-hardware.service")
    if nouveau:
        (library / "nouveau").touch()
    if gpu:
        _write_card(library / "pci" / _SLOT)


def _write_card(directory: Path) -> None:
    directory.mkdir(parents=True)
    modalias = f"pci:v{_VENDOR:08X}d{_DEVICE:08X}sv{_VENDOR:08X}sd{_SUBSYSTEM:08X}bc03sc02i00"
    files = {
        "vendor": f"0x{_VENDOR:04x}",
        "device": f"0x{_DEVICE:04x}",
        "subsystem_vendor": f"0x{_VENDOR:04x}",
        "subsystem_device": f"0x{_SUBSYSTEM:04x}",
        "class": f"0x{_CLASS:06x}",
        "revision": f"0x{_REVISION:02x}",
        "irq": "0",
        "numa_node": "-1",
        "enable": "0",
        "modalias": modalias,
        "resource": "\n".join(["0x0000000000000000 0x0000000000000000 0x0000000000000000"] * 7),
        "uevent": f"PCI_CLASS={_CLASS:05X}\nPCI_ID={_VENDOR:04X}:{_DEVICE:04X}\n"
        f"PCI_SUBSYS_ID={_VENDOR:04X}:{_SUBSYSTEM:04X}\nPCI_SLOT_NAME={_SLOT}\nMODALIAS={modalias}",
    }
    for name, text in files.items():
        (directory / name).write_text(text + "\n")
    (directory / "config").write_bytes(_configuration_space())


def _configuration_space() -> bytes:
    """The standard PCI header, which is what lspci reads."""
    header = struct.pack("<HHHH", _VENDOR, _DEVICE, 0, 0) + struct.pack("<I", _CLASS << 8 | _REVISION)
    header = header.ljust(0x2C, b"\0") + struct.pack("<HH", _VENDOR, _SUBSYSTEM)
    return header.ljust(256, b"\0")
