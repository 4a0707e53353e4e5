"""Whether CUDA works in this container: cuInit and a card. Ends with 1 and the reason otherwise.

Handed to `python3 -c` in a container of the agent's base image; standard library only.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

NO_UVM = (
    "the container has no /dev/nvidia-uvm, which nvidia-smi does not need. On the host: `systemctl start "
    "voice-nvidia-uvm.service`, and its journal if it fails; then run the deploy again"
)
NO_LIBRARY = (
    "the container toolkit put no driver library into the container: does /etc/nvidia-container-runtime/config.toml or "
    "NVIDIA_DRIVER_CAPABILITIES leave out compute, does `ldconfig -p` on the host list libcuda.so.1?"
)
CAUSES = {
    3: ("CUDA_ERROR_NOT_INITIALIZED", "the driver's library could not reach the driver"),
    100: (
        "CUDA_ERROR_NO_DEVICE",
        "the container may not use the card: does `docker info` name cgroupfs as cgroup driver, does nvidia-smi on the "
        "host list the card?",
    ),
    802: ("CUDA_ERROR_SYSTEM_NOT_READY", "the card waits for NVIDIA's fabric manager, which cards with NVSwitch need"),
    803: (
        "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
        "libcuda.so.1 is not of the driver that is loaded: a reboot is due, or an image's own compatibility libraries "
        "come before the driver's",
    ),
    804: ("CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE", "an image's own compatibility libraries do not know this card"),
    999: ("CUDA_ERROR_UNKNOWN", "nvidia-uvm does not work: see `dmesg | grep -i -e nvrm -e uvm` on the host"),
}


def problem() -> str:
    """Why a CUDA program cannot use a card here; "" if it can."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return f"libcuda.so.1 cannot be loaded ({error}): {NO_LIBRARY}"
    count = ctypes.c_int(0)
    call, code = "cuInit", cuda.cuInit(0)
    if code == 0:
        call, code = "cuDeviceGetCount", cuda.cuDeviceGetCount(ctypes.byref(count))
    if code == 0 and count.value < 1:
        code = 100
    if code == 0:
        return ""
    name, cause = CAUSES.get(code, ("a number that is not known here", "see CUresult in NVIDIA's documentation"))
    if code == 999 and not Path("/dev/nvidia-uvm").exists():
        cause = NO_UVM
    return f"{call} answers {code}, {name}: {cause}"


if __name__ == "__main__":
    said = problem()
    if said:
        sys.exit(said)
    print("CUDA works")
