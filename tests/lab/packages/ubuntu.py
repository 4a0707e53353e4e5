"""The NVIDIA driver as Ubuntu's archive packages it: modules made for each kernel, no compiling."""

from __future__ import annotations

from tests.lab.packages import nvidia
from tests.lab.packages.deb import Deb
from tests.lab.packages.kernel import NEWER_RELEASE, NUMBER, RELEASE, flavour, module

_BRANCH = "580-server"
_UNIT = "--user nvidia-persistenced --no-persistence-mode --verbose"
_BLACKLIST = "blacklist nouveau\nblacklist lbm-nouveau\nalias nouveau off\nalias lbm-nouveau off\n"


def driver(version: str) -> list[Deb]:
    """Branch 580-server at one version."""
    full = f"{version}-0ubuntu0.24.04.1"
    return [*_modules(version, full), *_user_space(version, full), *_metapackages(full)]


def _modules(version: str, full: str) -> list[Deb]:
    """The metapackage brings the modules of its flavour's newest kernel, which is not the one that runs."""
    of_newest = f"{NEWER_RELEASE.partition('-')[0]}+{full}"
    return [
        Deb(
            f"linux-modules-nvidia-{_BRANCH}-open-{flavour(RELEASE)}",
            of_newest,
            f"NVIDIA open modules for the {flavour(RELEASE)} kernels",
            depends=_fitting(full),
            siblings=(f"linux-modules-nvidia-{_BRANCH}-open-{NEWER_RELEASE}",),
        ),
        _modules_of(NEWER_RELEASE, of_newest, version, full),
        _modules_of(RELEASE, f"{NUMBER}+{full}", version, full),
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
            files={**nvidia.loading(version), "usr/lib/modprobe.d/nvidia-graphics-drivers.conf": _BLACKLIST},
        ),
    ]


def _modules_of(release: str, of_kernel: str, version: str, full: str) -> Deb:
    depmod = f'if [ "$1" = configure ] || [ "$1" = remove ]; then depmod {release}; fi\n'
    return Deb(
        f"linux-modules-nvidia-{_BRANCH}-open-{release}",
        of_kernel,
        f"NVIDIA open modules for Linux {release}",
        depends=_fitting(full),
        files={
            f"usr/lib/modules/{release}/kernel/nvidia-580srv-open/{name}.ko": module(version, name, release)
            for name in nvidia.MODULES
        },
        # The other kernel is not installed, and depmod's files of it would be left behind.
        scripts={"postinst": depmod, "postrm": depmod} if release == RELEASE else {},
    )


def _fitting(full: str) -> tuple[str, str]:
    """Modules go with one version of the rest of the driver, and Ubuntu makes none anew for older kernels."""
    common = f"nvidia-kernel-common-{_BRANCH}"
    return f"{common} (<= {full}-1)", f"{common} (>= {full})"


def _user_space(version: str, full: str) -> list[Deb]:
    library_files, library_links = nvidia.libraries(version)
    return [
        Deb(
            f"nvidia-utils-{_BRANCH}",
            full,
            "NVIDIA driver support binaries",
            siblings=(f"libnvidia-compute-{_BRANCH}",),
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
            siblings=(f"libnvidia-compute-{_BRANCH}",),
            files={
                "usr/bin/nvidia-persistenced": nvidia.source("nvidia-persistenced", version),
                "usr/lib/systemd/system/nvidia-persistenced.service": nvidia.persistence_unit(_UNIT, install=False),
            },
        ),
    ]


def _metapackages(full: str) -> list[Deb]:
    common = (f"libnvidia-compute-{_BRANCH}", f"nvidia-compute-utils-{_BRANCH}", f"nvidia-kernel-common-{_BRANCH}")
    return [
        Deb(
            f"nvidia-headless-no-dkms-{_BRANCH}-open",
            full,
            "NVIDIA driver without a display and without a kernel module",
            siblings=common,
        ),
        Deb(
            f"nvidia-headless-{_BRANCH}-open",
            full,
            "NVIDIA driver without a display",
            siblings=(*common, f"nvidia-dkms-{_BRANCH}-open"),
        ),
    ]
