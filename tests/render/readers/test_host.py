"""The files that the deploys write on a host, each read by its program, for each distribution."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.render import matrix
from tests.render.readers import host
from voicestack.host import docker
from voicestack.host.platform import Platform

DISTRIBUTIONS = pytest.mark.parametrize("platform", matrix.PLATFORMS.values(), ids=matrix.PLATFORMS.keys())


@pytest.mark.parametrize("mirrors", [[], ["https://mirror.example.org"]], ids=["no mirror", "a mirror"])
@pytest.mark.parametrize("existing", [{}, {"dns": ["192.0.2.53"], "exec-opts": ["native.cgroupdriver=systemd"]}])
def test_dockerd_accepts_daemon_json(mirrors: list[str], existing: dict[str, object], tmp_path: Path) -> None:
    settings = matrix.case(docker_registry_mirrors=mirrors).settings
    merged = docker.merge(existing, docker.daemon_config(settings))
    host.check_daemon_json(json.dumps(merged), tmp_path)


def test_dockerd_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="log-drivers"):
        host.check_daemon_json('{"log-drivers": "json-file"}', tmp_path)


@DISTRIBUTIONS
@pytest.mark.parametrize("directory", ["/models", "/srv/voice-models"])
def test_systemd_reads_the_unit_and_the_drop_ins(platform: Platform, directory: str, tmp_path: Path) -> None:
    files = host.files(matrix.case(weights_directory=directory).settings, platform)
    units = {path: text for path, text in files.items() if path.startswith("/etc/systemd/")}
    assert len(units) == 5
    host.check_units(units, tmp_path)


def test_systemd_refuses_a_mount_unit_of_another_name_than_its_directorys(tmp_path: Path) -> None:
    texts = host.files(matrix.case(weights_directory="/srv/voice-models").settings, matrix.PLATFORMS["debian13"])
    unit = texts[r"/etc/systemd/system/srv-voice\x2dmodels.mount"]
    with pytest.raises(AssertionError, match="Where= setting doesn't match unit name"):
        host.check_units({"/etc/systemd/system/srv-voice-models.mount": unit}, tmp_path)


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("case", matrix.distinct("livekit/"), ids=lambda case: case.name)
def test_the_kernel_reserves_the_media_ports(case: matrix.Case, tmp_path: Path) -> None:
    text = host.files(case.settings, matrix.PLATFORMS["debian13"])["/etc/sysctl.d/60-voice.conf"]
    # Two ranges that touch are one to the kernel.
    wanted = "50000-50299" if case.settings.livekit.turn_enabled else "50000-50199"
    assert host.applied_parameters(text, tmp_path) == wanted


@DISTRIBUTIONS
@pytest.mark.parametrize("docker_source", ["docker", "distribution"])
@pytest.mark.parametrize("nvidia_source", ["nvidia", "distribution"])
def test_apt_reads_the_sources(platform: Platform, docker_source: str, nvidia_source: str, tmp_path: Path) -> None:
    settings = matrix.case(docker_source=docker_source, nvidia_source=nvidia_source).settings
    files = host.files(settings, platform)
    sources = {path: text for path, text in files.items() if path.endswith(".sources")}
    wanted = {"https://nvidia.github.io/libnvidia-container/stable/deb/amd64"}
    if docker_source == "docker":
        wanted.add(f"https://download.docker.com/linux/{platform.distribution} {platform.codename}")
    if nvidia_source == "nvidia":
        repository = f"{platform.distribution}{platform.release}/x86_64"
        wanted.add(f"https://developer.download.nvidia.com/compute/cuda/repos/{repository}")
    assert host.apt_sources(sources, tmp_path) == wanted
    # apt does not show which key it trusts for a source before it has fetched from it.
    assert all("\nSigned-By: /etc/apt/keyrings/voice-" in text for text in sources.values())


@DISTRIBUTIONS
def test_apt_keeps_driver_and_docker_from_unattended_upgrades(platform: Platform, tmp_path: Path) -> None:
    text = host.files(matrix.case().settings, platform)["/etc/apt/apt.conf.d/52voice-unattended-upgrades"]
    kept = host.apt_configuration(text, tmp_path)
    assert {"nvidia-", "libnvidia-", "docker-ce", "docker.io", "containerd"} <= set(kept)
    assert ("linux-image-" in kept) is (platform.distribution == "ubuntu")
