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
    libraries, real = "usr/lib/x86_64-linux-gnu", f"libnvidia-container.so.{version}"
    tools = ("nvidia-ctk", "nvidia-container-runtime")
    return [
        Deb(
            "libnvidia-container1",
            full,
            "NVIDIA container runtime library",
            files={f"{libraries}/{real}": shared_library("libnvidia-container.so.1")},
            links={f"{libraries}/libnvidia-container.so.1": real},
        ),
        Deb(
            "libnvidia-container-tools",
            full,
            "NVIDIA container runtime library, command line tools",
            siblings=("libnvidia-container1",),
            files={"usr/bin/nvidia-container-cli": source("nvidia-container-cli", version)},
        ),
        Deb(
            "nvidia-container-toolkit-base",
            full,
            "NVIDIA Container Toolkit, base",
            files={f"usr/bin/{name}": source(name, version) for name in tools},
        ),
        Deb(
            "nvidia-container-toolkit",
            full,
            "NVIDIA Container Toolkit",
            siblings=("nvidia-container-toolkit-base", "libnvidia-container-tools"),
            files={
                "usr/bin/nvidia-container-runtime-hook": source("nvidia-container-runtime-hook", version),
                "usr/lib/systemd/system-generators/nvidia-lab-revoke": source("nvidia-lab-revoke", version),
                "etc/nvidia-container-runtime/config.toml": _CONFIGURATION,
            },
            links={"usr/bin/nvidia-container-toolkit": "nvidia-container-runtime-hook"},
        ),
    ]
