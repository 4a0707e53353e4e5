"""The programs and files that tests/render/readers reads the rendered files with, each pinned, none run by the lab.

Compose is Debian 13's 2.26 (what a host with docker_source = "distribution" has) and the newest that could be had here:
5.6.0, built from its Go module. 5.7.0 needs a module that the module proxy does not serve; Docker's own repository and
GitHub's releases are not in reach.
"""

from __future__ import annotations

from pathlib import Path

from tests.lab import binaries, pypi
from tests.lab.disk import make_whole
from tests.lab.packages import debian
from tests.lab.places import CACHE

COMPOSE_VERSION = binaries.COMPOSE_VERSION

VLLM_OMNI = {
    "0.18.0": "a70e4ebf7df0a02ff2a76e04957349471c9ba831b3546ecba2b484d6a53c7ea3",
    "0.20.0": "25f2a9093a0690a65ff075886854582ef2c4284f79c8fe4e51e90faffa33be40",
    "0.22.0": "df3c95a5834ce99f6d532a07883e34874bd8044d2f4ee890b4a5c512810d4ace",
    "0.26.0": "ed12206b31a64685511854bd7cba18efe91d0dbfdbc8433beda718dcf556f601",
    "0.28.0": "78a582b7c6140cd1796bdc8a65a0b5c2dac2dd7715a96f1d9950214a1b75b8ad",
    "0.30.0": "141cb0c7b9c07970e5c92a99aab9696e81682dbfa3d2bfcde359c3c1533385f4",
}
"""Release -> sha256 of its wheel (py3-none-any, 2 to 8 MB)."""


def install() -> None:
    """Fetch or build everything, so that the tests themselves need no network."""
    binaries.livekit_server()
    binaries.compose()
    debian.unpacked()
    for number in VLLM_OMNI:
        vllm_omni(number)


def compose_versions() -> dict[str, Path]:
    """Version -> its docker-compose, which runs alone for `config`."""
    plugin = debian.unpacked() / "docker-compose/usr/libexec/docker/cli-plugins/docker-compose"
    return {"2.26": plugin, COMPOSE_VERSION: binaries.compose()}


def dockerd() -> Path:
    """Debian 13's dockerd, for `--validate`."""
    return debian.unpacked() / "docker.io/usr/sbin/dockerd"


def vllm_omni(number: str) -> Path:
    """The unpacked wheel of a release."""
    sha256 = VLLM_OMNI[number]
    requirement = f"vllm-omni=={number} --hash=sha256:{sha256}"
    place = CACHE / "vllm-omni" / f"{number}-{sha256[:16]}"
    return make_whole(place, lambda root: pypi.unpack(root, requirement), what=f"vllm-omni {number} from PyPI")
