"""The NVIDIA driver as Ubuntu's archive packages it: modules made for each kernel, no compiling."""

from __future__ import annotations

from tests.lab.packages import nvidia
from tests.lab.packages.deb import Deb
from tests.lab.packages.kernel import NUMBER, RELEASE, flavour, module

_BRANCH = "580-server"
_UNIT = "--user nvidia-persistenced --no-persistence-mode --verbose"
_BLACKLIST = "blacklist nouveau\nblacklist lbm-nouveau\nalias nouveau off\nalias lbm-nouveau off\n"


def driver(version: str) -> list[Deb]:
    """Branch 580-server at one version."""
    full = f"{version}-0ubuntu0.24.04.1"
    exactly = f"(= {full})"
    return [*_modules(version, full), *_user_space(version, full), *_metapackages(exactly, full)]


def _modules(version: str, full: str) -> list[Deb]:
    of_kernel = f"{NUMBER}+{full}"
    path = f"usr/lib/modules/{RELEASE}/kernel/nvidia-580srv-open/nvidia.ko"
    depmod = f'if [ "$1" = configure ] || [ "$1" = remove ]; then depmod {RELEASE}; fi\n'
    return [
        Deb(
            f"linux-modules-nvidia-{_BRANCH}-open-{flavour(RELEASE)}",
            of_kernel,
            f"NVIDIA open modules for the {flavour(RELEASE)} kernels",
            depends=(
                f"linux-modules-nvidia-{_BRANCH}-open-{RELEASE} (= {of_kernel})",
                f"nvidia-kernel-common-{_BRANCH} (>= {full})",
            ),
        ),
        Deb(
            f"linux-modules-nvidia-{_BRANCH}-open-{RELEASE}",
            of_kernel,
            f"NVIDIA open modules for Linux {RELEASE}",
            depends=(f"nvidia-kernel-common-{_BRANCH} (>= {full})",),
            files={path: module(version)},
            scripts={"postinst": depmod, "postrm": depmod},
        ),
        Deb(
            f"nvidia-dkms-{_BRANCH}-open",
            full,
            "NVIDIA open kernel module, built on the host",
            depends=(f"nvidia-kernel-common-{_BRANCH} (>= {full})",),
            files=nvidia.built_on_the_host(version),
            scripts=nvidia.BUILD_SCRIPTS,
        ),
        Deb(
            f"nvidia-kernel-common-{_BRANCH}",
            full,
            "Files shared by NVIDIA's kernel modules",
            depends=("kmod",),
            files={
                **nvidia.loading(version),
                "usr/lib/modprobe.d/nvidia-graphics-drivers.conf": _BLACKLIST,
            },
        ),
    ]


def _user_space(version: str, full: str) -> list[Deb]:
    library_files, library_links = nvidia.libraries(version)
    return [
        Deb(
            f"nvidia-utils-{_BRANCH}",
            full,
            "NVIDIA driver support binaries",
            depends=(f"libnvidia-compute-{_BRANCH} (= {full})",),
            files={"usr/bin/nvidia-smi": nvidia.source("nvidia-smi", version)},
        ),
        Deb(
            f"libnvidia-compute-{_BRANCH}",
            full,
            "NVIDIA compute libraries",
            files=library_files,
            links=library_links,
        ),
        Deb(
            f"nvidia-compute-utils-{_BRANCH}",
            full,
            "NVIDIA compute utilities",
            depends=(f"libnvidia-compute-{_BRANCH} (= {full})",),
            files={
                "usr/bin/nvidia-persistenced": nvidia.source("nvidia-persistenced", version),
                "usr/lib/systemd/system/nvidia-persistenced.service": nvidia.persistence_unit(_UNIT, install=False),
            },
        ),
    ]


def _metapackages(exactly: str, full: str) -> list[Deb]:
    common = (
        f"libnvidia-compute-{_BRANCH} {exactly}",
        f"nvidia-compute-utils-{_BRANCH} {exactly}",
        f"nvidia-kernel-common-{_BRANCH} {exactly}",
    )
    return [
        Deb(
            f"nvidia-headless-no-dkms-{_BRANCH}-open",
            full,
            "NVIDIA driver without a display and without a kernel module",
            depends=common,
        ),
        Deb(
            f"nvidia-headless-{_BRANCH}-open",
            full,
            "NVIDIA driver without a display",
            depends=(*common, f"nvidia-dkms-{_BRANCH}-open {exactly}"),
        ),
    ]
