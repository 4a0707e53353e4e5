"""What a host is, as far as choices depend on it, and where its packages come from. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from voicestack.settings.host import DOCKER_PACKAGES
from voicestack.settings.model import Settings


@dataclass(frozen=True)
class Platform:
    """Distribution ("ubuntu"), release ("2404", without the dot), codename, running kernel and its flavour."""

    distribution: str
    release: str
    codename: str
    kernel: str
    flavour: str

    @property
    def version_id(self) -> str:
        """The release as /etc/os-release writes it: "24.04", "13"."""
        return f"{self.release[:2]}.{self.release[2:]}" if self.distribution == "ubuntu" else self.release

    @classmethod
    def pattern(cls, distribution: str) -> Platform:
        """A platform of which only the distribution is known: the rest are placeholders for preflight.sh."""
        return cls(distribution, "{release}", "{codename}", "{kernel}", "{flavour}")


@dataclass(frozen=True)
class Repository:
    """An apt repository and the one key that may sign it; a suite of "/" means a flat repository."""

    name: str
    url: str
    suite: str
    components: str
    key_url: str
    fingerprint: str

    @property
    def keyring(self) -> str:
        """Where its key lies on a host."""
        return f"/etc/apt/keyrings/voice-{self.name}.gpg"

    @property
    def sources_file(self) -> str:
        """Where apt reads it."""
        return f"/etc/apt/sources.list.d/voice-{self.name}.sources"

    @property
    def sources(self) -> str:
        """Its deb822 stanza."""
        components = f"Components: {self.components}\n" if self.components else ""
        return (
            f"# Managed by the voice stack's deploys; the key's fingerprint is {self.fingerprint}.\n"
            f"Types: deb\nURIs: {self.url}\nSuites: {self.suite}\n{components}"
            f"Architectures: amd64\nSigned-By: {self.keyring}\n"
        )

    @property
    def probe_url(self) -> str:
        """An address that answers 200 when the repository is there."""
        place = self.url if self.suite == "/" else f"{self.url}/dists/{self.suite}"
        return f"{place}/InRelease"


def nvidia_source(settings: Settings, platform: Platform) -> str:
    """`nvidia_source` with "auto" resolved: Ubuntu ships signed, prebuilt 580 modules, Debian does not."""
    if settings.nvidia.source != "auto":
        return settings.nvidia.source
    return "distribution" if platform.distribution == "ubuntu" else "nvidia"


def repositories(settings: Settings, platform: Platform) -> tuple[Repository, ...]:
    """The repositories this host needs beyond its distribution's own."""
    found = [_toolkit_repository(settings)]
    if nvidia_source(settings, platform) == "nvidia":
        found.append(_driver_repository(settings, platform))
    if settings.docker.source == "docker":
        found.append(_docker_repository(settings, platform))
    return tuple(found)


def _toolkit_repository(settings: Settings) -> Repository:
    nvidia = settings.nvidia
    url = f"{nvidia.toolkit_url}/stable/deb/amd64"
    key_url = f"{nvidia.toolkit_url}/gpgkey"
    return Repository("nvidia-container-toolkit", url, "/", "", key_url, nvidia.toolkit_fingerprint)


def _driver_repository(settings: Settings, platform: Platform) -> Repository:
    nvidia = settings.nvidia
    url = nvidia.repository_url.format(distribution=platform.distribution, release=platform.release)
    key = nvidia.repository_keys.get(f"{platform.distribution}{platform.release}")
    # A pattern names no release: preflight asks it for an address only.
    file, fingerprint = (key.file, key.fingerprint) if key else ("", "")
    return Repository("nvidia-driver", url, "/", "", f"{url}/{file}", fingerprint)


def _docker_repository(settings: Settings, platform: Platform) -> Repository:
    docker = settings.docker
    url = docker.repository_url.format(distribution=platform.distribution)
    return Repository("docker", url, platform.codename, "stable", f"{url}/gpg", docker.repository_fingerprint)


def driver_packages(settings: Settings, platform: Platform) -> tuple[str, ...]:
    """The driver without X: user space, kernel modules, persistence daemon."""
    nvidia = settings.nvidia
    is_open = nvidia.kernel_modules == "open"
    if nvidia_source(settings, platform) == "nvidia":
        return (f"linux-headers-{platform.kernel}", *_nvidias_own_packages(platform, is_open=is_open))
    if platform.distribution == "debian":
        # Debian's archive has one driver a release (535 in 12, 550 in 13), without branch names.
        kernel_package = "nvidia-open-kernel-dkms" if is_open else "nvidia-kernel-dkms"
        return (f"linux-headers-{platform.kernel}", kernel_package, "nvidia-smi", "nvidia-persistenced")
    suffix = _ubuntus_suffix(settings)
    return (
        f"linux-modules-nvidia-{suffix}-{platform.flavour}",
        f"nvidia-headless-no-dkms-{suffix}",
        f"nvidia-utils-{nvidia.branch}",
        f"nvidia-compute-utils-{nvidia.branch}",
    )


def modules_for_running_kernel(settings: Settings, platform: Platform) -> tuple[str, ...]:
    """Ubuntu's prebuilt modules for the kernel that runs; the metapackage brings those of its flavour's newest one.

    They fit one version of the driver: for an older kernel the archive has none, or some that fit no more.
    """
    if platform.distribution != "ubuntu" or nvidia_source(settings, platform) != "distribution":
        return ()
    return (f"linux-modules-nvidia-{_ubuntus_suffix(settings)}-{platform.kernel}",)


def _ubuntus_suffix(settings: Settings) -> str:
    branch = settings.nvidia.branch
    return f"{branch}-open" if settings.nvidia.kernel_modules == "open" else branch


def _nvidias_own_packages(platform: Platform, *, is_open: bool) -> tuple[str, ...]:
    """NVIDIA's repository splits compute from desktop in its packages for Debian only."""
    if platform.distribution == "debian":
        module = "nvidia-kernel-open-dkms" if is_open else "nvidia-kernel-dkms"
        return ("nvidia-driver-cuda", module, "nvidia-persistenced")
    return ("nvidia-open" if is_open else "cuda-drivers", "nvidia-persistenced")


def driver_pinning_packages(settings: Settings, platform: Platform) -> tuple[str, ...]:
    """What must be installed before the driver so that NVIDIA's repository stays on the branch."""
    if nvidia_source(settings, platform) != "nvidia":
        return ()
    return (f"nvidia-driver-pinning-{settings.nvidia.branch.partition('-')[0]}",)


def kernel_packages(settings: Settings, platform: Platform) -> tuple[str, ...]:
    """The kernel's own packages, held where the prebuilt modules fit one kernel only."""
    if platform.distribution != "ubuntu" or nvidia_source(settings, platform) != "distribution":
        return ()
    return tuple(f"linux{part}-{platform.flavour}" for part in ("", "-image", "-headers"))


def distribution_packages(settings: Settings, platform: Platform) -> tuple[str, ...]:
    """What preflight asks the distribution's archive for: headers, and driver and Docker if they come from there."""
    driver = driver_packages(settings, platform) if nvidia_source(settings, platform) == "distribution" else ()
    engine = ("docker.io",) if settings.docker.source == "distribution" else ()
    return (f"linux-headers-{platform.kernel}", *driver, *engine)


def toolkit_versions(settings: Settings) -> dict[str, str]:
    """The container toolkit's packages, all at one version."""
    return dict.fromkeys(TOOLKIT_PACKAGES, settings.nvidia.toolkit_version)


def docker_versions(settings: Settings, platform: Platform) -> dict[str, str]:
    """Docker's own packages as its repository names them for this release: 5:28.5.2-1~ubuntu.24.04~noble."""
    suffix = f"~{platform.distribution}.{platform.version_id}~{platform.codename}"
    return {name: f"{settings.docker.versions[name]}{suffix}" for name in DOCKER_PACKAGES}


TOOLKIT_PACKAGES = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)

DOCKER_CONFLICTS = (
    *("docker.io", "docker-cli", "docker-doc", "docker-compose", "docker-compose-v2", "docker-buildx"),
    *("podman-docker", "containerd", "runc"),
)
DISTRIBUTION_DOCKER_PACKAGES = {
    "ubuntu": ("docker.io", "docker-compose-v2", "docker-buildx"),
    "debian": ("docker.io", "docker-cli", "docker-compose", "docker-buildx", "iptables"),
}
"""Debian 12's archive has Compose v1 only and no docker-cli of its own: there docker_source must be "docker"."""
