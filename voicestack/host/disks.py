"""What a deployment puts where: which path, how many GiB. Pure."""

from __future__ import annotations

import re

from voicestack.settings.model import Settings

DOCKERS = "/var/lib/docker"
CONTAINERDS = "/var/lib/containerd"

COMPRESSED = 0.5
"""What Docker's containerd image store keeps beside the unpacked layers, of their size: the layers as they were pulled.

An estimate: vLLM's image has been reported with 25 GB unpacked and with 12 GB to pull (vllm 17163, 27154).
"""


def upstream(version: str) -> tuple[int, ...]:
    """The program's own version in a package's: 5:28.5.2-1~debian.13~trixie is (28, 5, 2)."""
    found = re.match(r"(?:[0-9]+:)?([0-9]+(?:\.[0-9]+)*)", version)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def image_place(engine: str) -> str:
    """Where a Docker of this version, newly installed, keeps images: from 29 on with containerd, whatever data-root."""
    return CONTAINERDS if upstream(engine) >= (29,) else DOCKERS


def pinned_image_place(settings: Settings) -> str:
    """Where a new host keeps images, as far as the settings tell: the distribution's Docker may be of any version."""
    return (
        CONTAINERDS if settings.docker.source == "distribution" else image_place(settings.docker.versions["docker-ce"])
    )


def disk_needs(settings: Settings, images: str) -> dict[str, float]:
    """Path -> GiB a fresh deployment puts there; `images` is where Docker keeps them."""
    preflight = settings.preflight
    if images == CONTAINERDS:
        # Docker's own directory keeps volumes and containers' logs.
        dockers = {images: preflight.disk_docker_gib * (1 + COMPRESSED), DOCKERS: preflight.disk_headroom_gib}
    else:
        dockers = {images: preflight.disk_docker_gib}
    return {"/": preflight.disk_root_gib, **dockers, settings.weights.directory: preflight.disk_models_gib}
