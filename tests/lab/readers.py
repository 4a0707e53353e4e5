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
