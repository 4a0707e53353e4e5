"""What the stack stands on: driver, Docker, weights, kernel parameters."""

from __future__ import annotations

import json

import pytest

from tests.host.conftest import Deployed
from voicestack.host.docker import daemon_config, merge
from voicestack.host.docker import wanted_packages as docker_packages
from voicestack.host.nvidia import UVM_SERVICE
from voicestack.host.nvidia import wanted_packages as nvidia_packages


def test_loaded_module_is_the_installed_one_and_what_nvidia_smi_says(deployed: Deployed) -> None:
    loaded = deployed.output(r"sed -nE '1s/.*Kernel Module.* ([0-9]{3}\.[0-9.]+) .*/\1/p' /proc/driver/nvidia/version")
    assert loaded
    assert deployed.output("modinfo -F version nvidia") == loaded
    assert deployed.output("nvidia-smi --query-gpu=driver_version --format=csv,noheader") == loaded


def test_the_driver_is_persistent_and_nouveau_is_out(deployed: Deployed) -> None:
    service = deployed.run.service("nvidia-persistenced")
    assert service.is_running
    assert deployed.run.file("/etc/modprobe.d/voice-blacklist-nouveau.conf").contains("blacklist nouveau")


def test_nvidia_uvms_nodes_are_there_before_docker_starts(deployed: Deployed) -> None:
    """CUDA opens them, nvidia-smi does not."""
    for node in ("/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"):
        assert deployed.run.file(node).exists, node
    for relation in ("Wants", "After"):
        assert UVM_SERVICE in deployed.output(f"systemctl show -p {relation} --value docker.service").split()


def test_driver_toolkit_and_docker_are_held(deployed: Deployed) -> None:
    held = set(deployed.output("apt-mark showhold").split())
    for wanted in (nvidia_packages, docker_packages):
        assert set(wanted(deployed.settings, deployed.platform).hold) <= held


def test_docker_and_toolkit_are_the_pinned_ones(deployed: Deployed) -> None:
    listed = deployed.output("dpkg-query -W -f '${Package}=${Version}\\n'").splitlines()
    for wanted in (nvidia_packages, docker_packages):
        versions = wanted(deployed.settings, deployed.platform).install
        assert {f"{name}={version}" for name, version in versions.items() if version} <= set(listed)


def test_daemon_json_says_what_the_deploy_wants(deployed: Deployed) -> None:
    config = json.loads(deployed.run.file("/etc/docker/daemon.json").content_string)
    assert merge(config, daemon_config(deployed.settings)) == config


def test_the_running_docker_uses_that_configuration(deployed: Deployed) -> None:
    info = json.loads(deployed.output("docker info --format '{{json .}}'"))
    assert info["CgroupDriver"] == "cgroupfs"
    assert info["LiveRestoreEnabled"] is True
    assert "nvidia" in info["Runtimes"]


@pytest.mark.parametrize("plugin", ["compose", "buildx"])
def test_docker_has_its_plugins(deployed: Deployed, plugin: str) -> None:
    assert deployed.run.run(f"docker {plugin} version").rc == 0


def test_the_weights_are_the_catalogs(deployed: Deployed) -> None:
    for name, model in deployed.settings.models.items():
        path = deployed.settings.model_path(name)
        provenance = json.loads(deployed.run.file(f"{path}/.provenance.json").content_string)
        assert (provenance["repo"], provenance["revision"]) == (model.repo, model.revision)
        for file, about in provenance["files"].items():
            assert deployed.run.file(f"{path}/{file}").size == about["size"], file


def test_the_weights_lie_on_their_volume_and_docker_waits_for_it(deployed: Deployed) -> None:
    disk, directory = deployed.settings.weights.volume, deployed.settings.weights.directory
    if not disk:
        pytest.skip("weights_volume is empty: they lie on the root disk")
    assert deployed.output(f"findmnt -n -o SOURCE --mountpoint {directory}") == deployed.output(f"readlink -f {disk}")
    assert f"AssertPathIsMountPoint={directory}" in deployed.output("systemctl cat docker.service").splitlines()


def test_livekits_ports_are_reserved(deployed: Deployed) -> None:
    livekit = deployed.settings.livekit
    reserved = deployed.output("cat /proc/sys/net/ipv4/ip_local_reserved_ports")
    assert f"{livekit.rtc_port_start}-" in reserved
