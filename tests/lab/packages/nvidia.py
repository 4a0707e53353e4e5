"""The simulated NVIDIA driver: its parts, and NVIDIA's repository that packages them."""

from __future__ import annotations

from pathlib import Path

from tests.lab.packages.deb import Deb
from tests.lab.packages.kernel import module, shared_library

_SOURCES = Path(__file__).parents[1] / "nvidia"
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_UUID = "GPU-7d1f0e3c-5b5a-4c0e-9f5e-00564c414221"
MODULES = ("nvidia", "nvidia-uvm")
_PINNED = "nvidia-* libnvidia-* libcuda1 libnvcuvid1"


def source(name: str, version: str) -> str:
    """One of the stand-in programs, for a driver version."""
    text = (_SOURCES / name).read_text()
    return text.replace("@VERSION@", version).replace("@UUID@", _UUID)


def loading(version: str) -> dict[str, str]:
    """What makes `modprobe nvidia` and `modprobe nvidia-uvm` load the simulated modules."""
    return {
        "usr/libexec/nvidia-lab/load": source("load", version),
        "usr/libexec/nvidia-lab/load-uvm": source("load-uvm", version),
        "usr/lib/modprobe.d/nvidia-lab.conf": "install nvidia /usr/libexec/nvidia-lab/load\n"
        "install nvidia-uvm /usr/libexec/nvidia-lab/load-uvm\n",
    }


def built_on_the_host(version: str) -> dict[str, str | bytes]:
    """The files of a DKMS package: modules that are installed where the kernel's headers are."""
    build = "/usr/libexec/nvidia-lab/build-module"
    return {
        **{f"usr/src/nvidia-{version}/{name}.ko": module(version, name) for name in MODULES},
        build.lstrip("/"): source("build-module", version),
        "etc/kernel/header_postinst.d/nvidia-lab": f'#!/bin/sh\nexec {build} "$1"\n',
    }


BUILD_SCRIPTS = {
    "postinst": 'if [ "$1" = configure ]; then /usr/libexec/nvidia-lab/build-module; fi\n',
    "prerm": 'if [ "$1" = remove ]; then\n'
    "    rm -f /lib/modules/*/updates/dkms/nvidia*.ko\n"
    '    depmod "$(uname -r)" || true\nfi\n',
}


def libraries(version: str) -> tuple[dict[str, bytes], dict[str, str]]:
    """The driver's libraries and the links to them that the dynamic linker looks for."""
    files, links = {}, {}
    for soname in ("libcuda.so.1", "libnvidia-ml.so.1"):
        real = f"{soname.removesuffix('.1')}.{version}"
        functions = (_SOURCES / "libcuda.s").read_text() if soname == "libcuda.so.1" else ""
        files[f"{_LIBRARIES}/{real}"] = shared_library(soname, functions)
        links[f"{_LIBRARIES}/{soname}"] = real
    return files, links


def persistence_unit(options: str, *, install: bool) -> str:
    """The daemon's unit; Ubuntu's has no [Install] section and switches persistence off."""
    text = (
        "[Unit]\nDescription=NVIDIA Persistence Daemon\nWants=syslog.target\n\n"
        f"[Service]\nType=forking\nExecStart=/usr/bin/nvidia-persistenced {options}\n"
    )
    return text + ("\n[Install]\nWantedBy=multi-user.target\n" if install else "")


def pinning(branch: str) -> Deb:
    """NVIDIA's package that holds a machine on one driver branch; it goes in before the driver."""
    preferences = f"Package: {_PINNED}\nPin: version {branch}.*\nPin-Priority: 1000\n"
    return Deb(
        f"nvidia-driver-pinning-{branch}",
        f"{branch}-1",
        f"Pins the NVIDIA driver to branch {branch}",
        files={f"etc/apt/preferences.d/nvidia-driver-pinning-{branch}": preferences},
    )


def repository(version: str, revision: str) -> list[Deb]:
    """The driver's packages in NVIDIA's repository, at one version."""
    full = f"{version}-{revision}"
    library_files, library_links = libraries(version)
    daemon = {
        "usr/bin/nvidia-persistenced": source("nvidia-persistenced", version),
        "usr/lib/systemd/system/nvidia-persistenced.service": persistence_unit("--verbose", install=True),
    }
    needed = ("nvidia-smi", "libcuda1", "nvidia-persistenced", "nvidia-modprobe")
    return [
        Deb(
            "nvidia-open",
            full,
            "NVIDIA driver metapackage, open kernel modules",
            siblings=("nvidia-driver-cuda", "nvidia-kernel-open-dkms"),
        ),
        Deb(
            "nvidia-kernel-open-dkms",
            full,
            "NVIDIA open kernel module, built on the host",
            depends=("kmod",),
            siblings=("nvidia-modprobe",),
            files=built_on_the_host(version),
            scripts=BUILD_SCRIPTS,
        ),
        Deb("nvidia-modprobe", full, "Loads the NVIDIA kernel module", depends=("kmod",), files=loading(version)),
        Deb("nvidia-driver-cuda", full, "NVIDIA driver for computation", siblings=needed),
        Deb(
            "nvidia-smi",
            full,
            "NVIDIA System Management Interface",
            siblings=("libcuda1",),
            files={"usr/bin/nvidia-smi": source("nvidia-smi", version)},
        ),
        Deb(
            "libcuda1",
            full,
            "NVIDIA CUDA driver library",
            relations={"Provides": f"libnvidia-ml1 (= {full})"},
            files=library_files,
            links=library_links,
        ),
        Deb("nvidia-persistenced", full, "Keeps the NVIDIA driver initialised", files=daemon),
    ]
