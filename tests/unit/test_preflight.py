"""Preflight: what a host says, parsed and judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deploys.host.preflight import findings, memory_needed_gib, port_ranges
from deploys.host.report import Disk, HostReport, Socket, parse_report
from deploys.settings import Settings, parse

GOOD = HostReport(
    distribution="ubuntu",
    release="24.04",
    codename="noble",
    pretty_name="Ubuntu 24.04.3 LTS",
    architecture="x86_64",
    kernel="6.8.0-1029-aws",
    flavour="aws",
    init="systemd",
    uid=0,
    clock=1_000_000,
    asked_at=1_000_000,
    memory_kib=16 * 2**20,
    gpus=("27b8",),
    disks=(Disk("/", "/dev/root:/", 200 * 2**20), Disk("/models", "/dev/nvme1:/models", 100 * 2**20)),
)


def test_a_good_host_has_no_findings(settings: Settings) -> None:
    assert findings(GOOD, settings, has_token=True) == []


def test_the_scripts_lines_become_a_report() -> None:
    report = parse_report(
        [
            "os\tdebian\t13\ttrixie\tDebian GNU/Linux 13 (trixie)",
            "architecture\tx86_64",
            "kernel\t6.12.0-9-cloud-amd64\tcloud-amd64",
            "init\tsystemd",
            "uid\t0",
            "now\t1000",
            "memory_kib\t16000000",
            "gpu\t0x27b8",
            "gpu_memory_mib\t23034",
            "disk\t/models\t/dev/root:/\t5000",
            "socket\ttcp\t0.0.0.0:80\tnginx\t-",
            "apt\tE: broken",
            "package\tlinux-headers-6.12.0-9-cloud-amd64\t(none)",
            "url\thttps://example.org/InRelease\t200",
            "public_address\t-",
        ],
        asked_at=1000,
    )
    assert report.platform.flavour == "cloud-amd64"
    assert report.gpus == ("27b8",)
    assert report.gpu_memory_mib == (23_034,)
    assert report.disks == (Disk("/models", "/dev/root:/", 5000),)
    assert report.sockets[0].port == 80
    assert report.dpkg_faults == ("E: broken",)
    assert report.public_address == ""


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"release": "20.04", "pretty_name": "Ubuntu 20.04.6 LTS"}, "Ubuntu 20.04.6 LTS is not supported"),
        ({"distribution": "fedora", "pretty_name": "Fedora Linux 43"}, "Fedora Linux 43 is not supported"),
        ({"architecture": "aarch64"}, "the machine is aarch64"),
        ({"init": "docker-init"}, "process 1 is docker-init, not systemd"),
        ({"uid": 1000}, "does not run as root"),
        ({"gpus": ()}, "no NVIDIA GPU on the PCI bus"),
        ({"gpus": ("2237",)}, "the GPU is A10G (10de:2237); the memory is planned for L4 (gpu_card)"),
        ({"memory_kib": 8 * 2**20}, "8.0 GiB of memory; 11.5 GiB are needed"),
        ({"disks": (Disk("/", "a:/", 2**20), Disk("/models", "a:/", 2**20))}, "1.0 GiB free for /, /models; 35 GiB"),
        ({"sockets": (Socket("tcp", "0.0.0.0:443", "nginx", "-"),)}, "nginx already listens on tcp 0.0.0.0:443"),
        ({"missing_tools": ("ss",)}, "apt-get install iproute2"),
        ({"clock": 1_000_600}, "the clock is 600 s ahead of"),
        ({"dpkg_faults": ("E: broken",)}, "apt or dpkg is broken (E: broken); mend what it names"),
        ({"dpkg_faults": ("E: Conflicting values set for option Signed-By",)}, "that is not ours (voice-*.sources)"),
        ({"packages": {"linux-headers-6.8.0-1029-aws": "(none)"}}, "boot a kernel the archive still has"),
        ({"urls": {"https://example.org/": "curl: (6) Could not resolve host"}}, "check DNS, routes"),
        ({"urls": {"https://example.org/": "404"}}, "https://example.org/ cannot be used from the host (404)"),
    ],
)
def test_each_fault_is_named_with_its_fix(settings: Settings, change: dict[str, object], expected: str) -> None:
    found = findings(replace(GOOD, **change), settings, has_token=True)  # type: ignore[arg-type]
    assert len(found) == 1
    assert expected in found[0]


def test_three_faults_are_reported_together(settings: Settings) -> None:
    bad = replace(GOOD, release="20.04", gpus=(), clock=GOOD.clock - 3600)
    assert len(findings(bad, settings, has_token=True)) == 3


def test_sockets_of_our_own_containers_are_no_fault(settings: Settings) -> None:
    ours = replace(
        GOOD,
        containers={"c" * 64: "", "d" * 64: "127.0.0.1:8001->8001/tcp"},
        sockets=(
            Socket("tcp", "*:443", "caddy", "c" * 64),
            Socket("tcp", "127.0.0.1:8001", "docker-proxy", "-"),
        ),
    )
    assert findings(ours, settings, has_token=True) == []


def test_a_deployed_host_needs_room_to_breathe_only(settings: Settings) -> None:
    tight = replace(GOOD, deployed=True, disks=(Disk("/", "a:/", 6 * 2**20),))
    assert findings(tight, settings, has_token=True) == []
    assert findings(replace(tight, disks=(Disk("/", "a:/", 4 * 2**20),)), settings, has_token=True)


def test_a_gated_model_that_is_missing_needs_a_token_before_anything_is_installed(settings: Settings) -> None:
    (finding,) = findings(GOOD, settings, has_token=False)
    assert finding == ("meta-llama/Llama-Guard-3-1B is gated and not on the host yet; set HF_TOKEN where pyinfra runs")
    assert findings(replace(GOOD, models=frozenset({"llama-guard-3-1b"})), settings, has_token=False) == []


def test_debian_12_has_no_docker_of_its_own_that_would_do(data: dict[str, Any]) -> None:
    bookworm = replace(GOOD, distribution="debian", release="12")
    (finding,) = findings(bookworm, parse({**data, "docker_source": "distribution"}), has_token=True)
    assert finding == "Debian 12's archive has no Compose v2; set docker_source = 'docker'"


def test_a_card_with_less_memory_than_x(settings: Settings, data: dict[str, Any]) -> None:
    """With ECC or on a shared card nvidia-smi may say less than the card is sold with."""
    assert findings(replace(GOOD, gpu_memory_mib=(23_034,)), settings, has_token=True) == []
    assert findings(replace(GOOD, gpu_memory_mib=(22_000,)), settings, has_token=True) == []
    (finding,) = findings(replace(GOOD, gpu_memory_mib=(20_500,)), settings, has_token=True)
    assert "agent_whisper_device: cuda -> cpu frees 2.96 GiB" in finding
    (finding,) = findings(replace(GOOD, gpu_memory_mib=(15_360,)), settings, has_token=True)
    assert finding.startswith("GPU 0 has 15,360 MiB; gpu_card L4 has 23,034: voxtral_stage0_sequences: card 0")


def test_a_second_card_that_is_not_there_is_named(data: dict[str, Any]) -> None:
    settings = parse({**data, "guard_placement": "gpu1"})
    (finding,) = findings(GOOD, settings, has_token=True)
    assert finding == "guard_placement: gpu1, but the host has one GPU; use gpu0, or the address of another host"
    assert findings(replace(GOOD, gpus=("27b8", "27b8")), settings, has_token=True) == []


def test_the_memory_a_host_needs_is_the_plans_or_a_number(data: dict[str, Any]) -> None:
    needed = memory_needed_gib(parse(data))
    assert needed > memory_needed_gib(parse({**data, "guard_placement": "http://10.0.0.7:8000"}))
    assert memory_needed_gib(parse({**data, "preflight_memory_gib": 3})) == 3


def test_a_guard_on_another_host_listens_on_no_port_here(data: dict[str, Any]) -> None:
    assert ("tcp", 8000, 8000) in port_ranges(parse(data))
    assert ("tcp", 8000, 8000) not in port_ranges(parse({**data, "guard_placement": "http://10.0.0.7:8000"}))
