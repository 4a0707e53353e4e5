"""The host itself: who it is for, what it must offer, what is installed on it."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from voicestack.gpu.cards import card
from voicestack.settings.catalog import KeepDays, Model
from voicestack.settings.directory import owned
from voicestack.settings.types import Fingerprint, HostName, PackageVersion, Positive, Region, Section, Url

SUPPORTED = {"ubuntu": ("22.04", "24.04"), "debian": ("12", "13")}
"""Distribution -> its releases, as /etc/os-release writes them."""

DOCKER_PACKAGES = (
    "docker-ce",
    "docker-ce-cli",
    "containerd.io",
    "docker-buildx-plugin",
    "docker-compose-plugin",
)
"""What Docker's own repository calls its engine, command, runtime, and two plugins."""


class Site(Section):
    """Who the deployment is for."""

    domain: HostName
    acme: Literal["production", "staging", "internal"]
    acme_email: Annotated[str, Field(pattern=r"^([^\s@]+@[^\s@]+)?$")]
    public_address: str
    imds_url: Url
    region: Region
    allowed_regions: list[Region] = Field(min_length=1)
    language: Annotated[str, Field(pattern=r"^[a-z]{2}$")]

    @field_validator("public_address")
    @classmethod
    def _address_or_imds(cls, value: str) -> str:
        if value != "imds":
            ip_address(value)
        return value


class Preflight(Section):
    """What a host must offer (sizes in GiB)."""

    memory_gib: float | Literal["plan"]
    disk_root_gib: float
    disk_docker_gib: float
    disk_models_gib: float
    disk_headroom_gib: float
    clock_skew_s: Positive


class Gpu(Section):
    """The card that the engines share, and how much of it stays free (voicestack/gpu plans with it)."""

    card: str
    headroom_gib: Annotated[float, Field(ge=0)]

    @field_validator("card")
    @classmethod
    def _known_card(cls, value: str) -> str:
        card(value)
        return value


class RepositoryKey(Section):
    """The one key that may sign a repository: its file's name below the repository, its fingerprint."""

    file: str
    fingerprint: Fingerprint


class Nvidia(Section):
    """Driver and container toolkit."""

    branch: Annotated[str, Field(pattern=r"^[0-9]{3}-server$")]
    kernel_modules: Literal["open", "proprietary"]
    source: Literal["auto", "distribution", "nvidia"]
    repository_url: Url
    repository_keys: dict[str, RepositoryKey]
    toolkit_url: Url
    toolkit_fingerprint: Fingerprint
    toolkit_version: PackageVersion


class Docker(Section):
    """Engine, Compose, buildx."""

    source: Literal["docker", "distribution"]
    repository_url: Url
    repository_fingerprint: Fingerprint
    versions: dict[str, PackageVersion]
    registry_mirrors: list[Url]
    log_max_size: Annotated[str, Field(pattern=r"^[0-9]+[kmg]$")]
    log_max_file: Positive

    @field_validator("versions")
    @classmethod
    def _all_five(cls, value: dict[str, str]) -> dict[str, str]:
        if value.keys() != set(DOCKER_PACKAGES):
            raise ValueError(f"not a version for each of {', '.join(DOCKER_PACKAGES)} and nothing else")
        return value


class Pypi(Section):
    """Where hosts get Python packages from."""

    index_url: Url


class Weights(Section):
    """What /models holds."""

    directory: Annotated[str, AfterValidator(owned)]
    volume: Annotated[str, Field(pattern=r"^(/dev/[A-Za-z0-9._/-]+)?$")]
    endpoint: Url
    source: Annotated[str, Field(pattern=r"^(/[^\s]+)?$")]
    verify: Literal["quick", "deep"]
    keep_replaced_days: KeepDays
    catalog: dict[str, Model] = Field(min_length=1)

    @field_validator("keep_replaced_days", mode="before")
    @classmethod
    def _days_or_forever(cls, value: Any) -> Any:
        if value == "forever" or (type(value) is int and value >= 0):
            return value
        raise ValueError('not a number of days and not "forever"')

    @field_validator("catalog", mode="before")
    @classmethod
    def _name_the_models(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: {"name": name, **entry} if isinstance(entry, dict) else entry for name, entry in value.items()}
