"""The four packages of NVIDIA's container toolkit, bound to each other at exactly one version."""

from __future__ import annotations

from tests.lab.packages.deb import Deb
from tests.lab.packages.kernel import shared_library
from tests.lab.packages.nvidia import source

_CONFIGURATION = """\
disable-require = false

[nvidia-container-cli]
load-kmods = true

[nvidia-container-runtime]
mode = "legacy"
runtimes = ["runc"]
"""


def packages(version: str) -> list[Deb]:
    """The toolkit at one version, such as 1.19.1."""
    full = f"{version}-1"
    exactly = f"(= {full})"
    library = f"usr/lib/x86_64-linux-gnu/libnvidia-container.so.{version}"
    return [
        Deb(
            "libnvidia-container1",
            full,
            "NVIDIA container runtime library",
            files={library: shared_library("libnvidia-container.so.1")},
            links={"usr/lib/x86_64-linux-gnu/libnvidia-container.so.1": library.rpartition("/")[2]},
        ),
        Deb(
            "libnvidia-container-tools",
            full,
            "NVIDIA container runtime library, command line tools",
            depends=(f"libnvidia-container1 {exactly}",),
            files={"usr/bin/nvidia-container-cli": source("nvidia-container-cli", version)},
        ),
        Deb(
            "nvidia-container-toolkit-base",
            full,
            "NVIDIA Container Toolkit, base",
            files={
                "usr/bin/nvidia-ctk": source("nvidia-ctk", version),
                "usr/bin/nvidia-container-runtime": source("nvidia-container-runtime", version),
            },
        ),
        Deb(
            "nvidia-container-toolkit",
            full,
            "NVIDIA Container Toolkit",
            depends=(
                f"nvidia-container-toolkit-base {exactly}",
                f"libnvidia-container-tools {exactly}",
            ),
            files={
                "usr/bin/nvidia-container-runtime-hook": source("nvidia-container-runtime-hook", version),
                "usr/lib/systemd/system-generators/nvidia-lab-revoke": source("nvidia-lab-revoke", version),
                "etc/nvidia-container-runtime/config.toml": _CONFIGURATION,
            },
            links={"usr/bin/nvidia-container-toolkit": "nvidia-container-runtime-hook"},
        ),
    ]
