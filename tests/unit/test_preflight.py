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
            "dpkg\tbroken package",
            "package\tlinux-headers-6.12.0-9-cloud-amd64\t(none)",
            "url\thttps://example.org/InRelease\t200",
            "public_address\t-",
            "domain\t192.0.2.10\t2001:db8::7",
            "addresses\t10.0.0.7",
        ],
        asked_at=1000,
    )
    assert report.platform.flavour == "cloud-amd64"
    assert report.gpus == ("27b8",)
    assert report.gpu_memory_mib == (23_034,)
    assert report.disks == (Disk("/models", "/dev/root:/", 5000),)
    assert report.sockets[0].port == 80
    assert report.dpkg_faults == ("broken package",)
    assert report.public_address == ""
    assert report.domain_addresses == ("192.0.2.10", "2001:db8::7")
    assert report.own_addresses == ("10.0.0.7",)
    assert parse_report(["domain"]).domain_addresses == ()
    assert parse_report([]).domain_addresses is None


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
        ({"dpkg_faults": ("half-configured",)}, "apt or dpkg is broken (half-configured)"),
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


DOMAIN = "site_domain: voice.example.org (VOICE_DOMAIN)"
RECORD = "make the A record voice.example.org -> 192.0.2.10"


@pytest.mark.parametrize(
    ("leads_to", "expected"),
    [
        (None, ""),
        ((), f"{DOMAIN} has no address that the host can see; {RECORD}"),
        (("192.0.2.10",), ""),
        (("10.0.0.7", "2001:db8::7"), ""),  # split horizon: the host's own
        (("127.0.1.1",), ""),  # its /etc/hosts
        (("192.0.2.10", "64:ff9b::c000:20a"), ""),
        (("198.51.100.9",), f"{DOMAIN} leads to 198.51.100.9, which is not this host; {RECORD}, alone"),
        (
            ("192.0.2.10", "2001:db8::9"),
            f"{DOMAIN} leads to 2001:db8::9, which is not this host; {RECORD}, alone; Let's Encrypt and browsers try "
            "IPv6 first: delete the AAAA record, or point it to the host",
        ),
    ],
)
def test_a_domain_that_does_not_lead_to_the_host_is_a_finding(
    settings: Settings, leads_to: tuple[str, ...] | None, expected: str
) -> None:
    report = replace(GOOD, domain_addresses=leads_to, own_addresses=("10.0.0.7", "2001:db8:0::7"))
    assert findings(report, settings, has_token=True) == ([expected] if expected else [])


def test_token_address_and_dns_are_one_list(data: dict[str, Any]) -> None:
    found = findings(
        replace(GOOD, domain_addresses=()), parse({**data, "site_public_address": "imds"}), has_token=False
    )
    assert len(found) == 3
    for name in ("HF_TOKEN", "site_public_address", "VOICE_DOMAIN"):
        assert any(name in each for each in found)
    # Where the public address is unknown, it cannot be said that the name leads elsewhere.
    somewhere = replace(GOOD, domain_addresses=("198.51.100.9",))
    assert len(findings(somewhere, parse({**data, "site_public_address": "imds"}), has_token=True)) == 1


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
