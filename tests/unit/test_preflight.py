"""Preflight: what a host says, parsed and judged."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.render.matrix import PLATFORMS
from voicestack.host.platform import TOOLKIT_PACKAGES, Platform
from voicestack.host.preflight import findings, memory_needed_gib
from voicestack.host.report import Disk, HostReport, Preflight, Socket, parse_report
from voicestack.settings.load import parse
from voicestack.settings.ports import listeners

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


PROXY = (Socket("tcp", "127.0.0.1:8001", "docker-proxy", "-"),)


def found(data: dict[str, Any], *, has_token: bool = True, **changes: Any) -> list[str]:
    """The findings of a good host with some changes, under these settings."""
    return findings(replace(GOOD, **changes), parse(data), has_token=has_token)


@pytest.mark.parametrize("each", PLATFORMS.values(), ids=PLATFORMS)
def test_a_good_host_of_each_supported_release_has_no_findings(data: dict[str, Any], each: Platform) -> None:
    assert found(data, distribution=each.distribution, release=each.version_id, codename=each.codename) == []


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
    assert report.dpkg_faults == ("E: broken",)
    assert report.public_address == ""
    assert report.domain_addresses == ("192.0.2.10", "2001:db8::7")
    assert report.own_addresses == ("10.0.0.7",)
    assert parse_report(["domain"]).domain_addresses == ()
    assert parse_report([]).domain_addresses is None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"release": "20.04", "pretty_name": "Ubuntu 20.04.6 LTS"}, "Ubuntu 20.04.6 LTS is not supported; use Ubuntu "),
        ({"distribution": "fedora"}, "is not supported; use Ubuntu 22.04 or 24.04, Debian 12 or 13"),
        ({"architecture": "aarch64"}, "the machine is aarch64"),
        ({"init": "docker-init"}, "process 1 is docker-init, not systemd"),
        ({"uid": 1000}, "does not run as root"),
        ({"gpus": ()}, "no NVIDIA GPU on the PCI bus"),
        ({"gpus": ("2237",)}, "gpu_card: the memory is planned for L4 (10de:27b8), the GPU is 10de:2237; for another"),
        ({"gpu_memory_mib": (23_034,)}, ""),
        # With ECC or on a shared card nvidia-smi may say less than the card is sold with.
        ({"gpu_memory_mib": (22_000,)}, ""),
        ({"gpu_memory_mib": (20_500,)}, "agent_whisper_device: cuda -> cpu frees 2.96 GiB"),
        ({"gpu_memory_mib": (15_360,)}, "GPU 0 has 15,360 MiB; gpu_card L4 has 23,034: voxtral_stage0_sequences: card"),
        ({"memory_kib": 8 * 2**20}, "8.0 GiB of memory; 11.5 GiB are needed"),
        ({"disks": (Disk("/", "a:/", 2**20), Disk("/models", "a:/", 2**20))}, "1.0 GiB free for /, /models; 35 GiB"),
        # A deployed host needs room to breathe only.
        ({"deployed": True, "disks": (Disk("/", "a:/", 6 * 2**20),)}, ""),
        ({"deployed": True, "disks": (Disk("/", "a:/", 4 * 2**20),)}, "4.0 GiB free for /; 5 GiB are needed"),
        ({"sockets": (Socket("tcp", "0.0.0.0:443", "nginx", "-"),)}, "nginx already listens on tcp 0.0.0.0:443"),
        ({"sockets": (Socket("tcp", "*:443", "caddy", "c" * 64),), "containers": {"c" * 64: ""}}, ""),
        ({"sockets": PROXY, "containers": {"d" * 64: "127.0.0.1:8001->8001/tcp"}}, ""),
        ({"sockets": PROXY, "containers": {"d" * 64: "127.0.0.1:8002->8001/tcp"}}, "docker-proxy already listens on"),
        ({"missing_tools": ("ss",)}, "apt-get install iproute2"),
        ({"clock": 1_000_600}, "the clock is 600 s ahead of"),
        ({"dpkg_faults": ("E: broken",)}, "apt or dpkg is broken (E: broken); mend what it names"),
        ({"dpkg_faults": ("E: Conflicting values set for option Signed-By",)}, "that is not ours (voice-*.sources)"),
        ({"packages": {"linux-headers-6.8.0-1029-aws": "(none)"}}, "boot a kernel the archive still has"),
        *(({"urls": {"https://example.org/": answer}}, "") for answer in ("200", "304", "401")),
        ({"urls": {"https://example.org/": "curl: (6) Could not resolve host"}}, "check DNS, routes"),
        ({"urls": {"https://example.org/": "404"}}, "https://example.org/ cannot be used from the host (404)"),
    ],
)
def test_each_fault_is_named_with_its_fix_and_nothing_else(
    data: dict[str, Any], change: dict[str, Any], expected: str
) -> None:
    said = found(data, **change)
    assert len(said) == bool(expected)
    assert expected in "".join(said)


@pytest.mark.parametrize(
    ("settings", "change", "expected"),
    [
        (
            {"docker_source": "distribution"},
            {"distribution": "debian", "release": "12"},
            ["Debian 12's archive has no Compose v2; set docker_source = 'docker'"],
        ),
        (
            {"guard_placement": "gpu1"},
            {},
            ["guard_placement: gpu1, but the host has one GPU; use gpu0, or the address of another host"],
        ),
        ({"guard_placement": "gpu1"}, {"gpus": ("27b8", "27b8")}, []),
        # A card that is named by its memory may be any, and its memory counts.
        ({"gpu_card": "46068"}, {"gpus": ("26b9",), "gpu_memory_mib": (46_068,)}, []),
        (
            {"gpu_card": "46068"},
            {"gpus": ("2237",), "gpu_memory_mib": (15_360,)},
            ["GPU 0 has 15,360 MiB; gpu_card card of 46,068 MiB has 46,068: voxtral_stage0_sequences: card 0 ("],
        ),
    ],
)
def test_what_the_settings_ask_of_a_host(
    data: dict[str, Any], settings: dict[str, Any], change: dict[str, Any], expected: list[str]
) -> None:
    said = found({**data, **settings}, **change)
    assert [each[: len(wanted)] for each, wanted in zip(said, expected, strict=True)] == expected


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
    data: dict[str, Any], leads_to: tuple[str, ...] | None, expected: str
) -> None:
    said = found(data, domain_addresses=leads_to, own_addresses=("10.0.0.7", "2001:db8:0::7"))
    assert said == ([expected] if expected else [])


def test_token_address_and_dns_are_one_list(data: dict[str, Any]) -> None:
    asking = {**data, "site_public_address": "imds"}
    said = found(asking, domain_addresses=(), has_token=False)
    assert len(said) == 3
    for name in ("HF_TOKEN", "site_public_address", "VOICE_DOMAIN"):
        assert any(name in each for each in said)
    # Where the public address is unknown, it cannot be said that the name leads elsewhere.
    assert len(found(asking, domain_addresses=("198.51.100.9",))) == 1


def test_a_gated_model_that_is_missing_needs_a_token_before_anything_is_installed(data: dict[str, Any]) -> None:
    gated = "meta-llama/Llama-Guard-3-1B is gated and not on the host yet; set HF_TOKEN where pyinfra runs"
    assert found(data, has_token=False) == [gated]
    assert found(data, models=frozenset({"llama-guard-3-1b"}), has_token=False) == []


SUFFIX = "~ubuntu.24.04~noble"
OFFERED: dict[str, tuple[str, ...]] = {
    "docker-ce": (f"5:29.8.2-1{SUFFIX}", f"5:28.5.2-1{SUFFIX}"),
    "docker-ce-cli": (f"5:29.8.2-1{SUFFIX}", f"5:28.5.2-1{SUFFIX}"),
    "containerd.io": (f"2.3.6-1{SUFFIX}", f"1.7.29-1{SUFFIX}"),
    "docker-buildx-plugin": (f"0.37.1-1{SUFFIX}", f"0.30.1-1{SUFFIX}"),
    "docker-compose-plugin": (f"5.6.0-1{SUFFIX}", f"2.40.3-1{SUFFIX}"),
    **dict.fromkeys(TOOLKIT_PACKAGES, ("1.20.2-1", "1.19.1-1")),
}


def test_a_version_that_is_not_offered_is_named_with_its_setting_and_the_newest(data: dict[str, Any]) -> None:
    assert found(data, offered=OFFERED) == []
    wrong = {
        "docker_versions": {**data["docker_versions"], "containerd.io": "1.7.99-1"},
        "nvidia_toolkit_version": "1.19.9-1",
    }
    toolkit, dockers = found({**data, **wrong}, offered=OFFERED)
    assert dockers == (
        "docker_versions: its repository does not offer containerd.io 1.7.99-1~ubuntu.24.04~noble (the newest there: "
        "2.3.6-1~ubuntu.24.04~noble); name versions that it has"
    )
    assert "nvidia_toolkit_version: its repository does not offer nvidia-container-toolkit 1.19.9-1 (the" in toolkit
    gone = {name: versions for name, versions in OFFERED.items() if name != "docker-buildx-plugin"}
    (finding,) = found(data, offered=gone)
    assert "docker-buildx-plugin 0.30.1-1~ubuntu.24.04~noble (the newest there: none)" in finding


def test_a_version_that_is_installed_need_not_be_offered_any_more(data: dict[str, Any]) -> None:
    offered = {**OFFERED, "containerd.io": OFFERED["containerd.io"][:1]}
    has = {"containerd.io": f"1.7.29-1{SUFFIX}"}
    assert found(data, offered=offered, installed=has) == []
    # Docker's repository is not asked where its packages come from the distribution.
    assert found({**data, "docker_source": "distribution"}, offered=offered) == []


def docker_29(data: dict[str, Any]) -> dict[str, Any]:
    versions = {"docker-ce": "5:29.8.2-1", "containerd.io": "2.3.6-1"}
    return {**data, "docker_versions": {**data["docker_versions"], **versions}}


@pytest.mark.parametrize(
    "newer", [{"docker-ce": f"5:29.8.2-1{SUFFIX}"}, {"docker.io": "29.1.3-0ubuntu3~24.04.1"}, {"containerd": "2.2.1-1"}]
)
def test_a_newer_docker_is_not_put_back_behind_anybodys_back(data: dict[str, Any], newer: dict[str, str]) -> None:
    """apt would do it (--allow-downgrades), and 28 does not see what 29 keeps in containerd's image store."""
    ((name, version),) = newer.items()
    (finding,) = found(data, installed=newer)
    assert f"docker_versions: the host has {name} {version}, newer than these" in finding
    assert found(docker_29(data), installed=newer) == []
    older = {"docker-ce": f"5:28.5.1-1{SUFFIX}", "containerd.io": "1.7.27-1"}
    assert found(data, installed=older) == []


def split(**free_gib: float) -> tuple[Disk, ...]:
    """/, /var/lib/docker, /var/lib/containerd on disks of their own, the weights on another."""
    places = {"root": "/", "docker": "/var/lib/docker", "containerd": "/var/lib/containerd", "data": "/data/docker"}
    disks = (Disk(places[name], f"{name}:", int(free * 2**20)) for name, free in free_gib.items())
    return (*disks, Disk("/models", "models:", 100 * 2**20))


IN_CONTAINERDS = "20.0 GiB free for /var/lib/containerd; 90 GiB are needed (preflight_disk_*)"


def test_room_is_asked_for_where_docker_will_keep_images(data: dict[str, Any]) -> None:
    """Docker >= 29 on a new host keeps them in /var/lib/containerd, and what it pulled beside what it unpacked."""
    disks = split(root=20, docker=100, containerd=20)
    assert found(data, disks=disks) == []
    assert found(docker_29(data), disks=disks) == [IN_CONTAINERDS]
    assert found(docker_29(data), disks=split(root=20, docker=6, containerd=91)) == []


@pytest.mark.parametrize(
    ("change", "data_root", "expected"),
    [
        # A running Docker says it.
        ({"images": "/var/lib/containerd"}, 0, [IN_CONTAINERDS]),
        ({"images": "/data/docker"}, 30, ["30.0 GiB free for /data/docker; 60 GiB are needed (preflight_disk_*)"]),
        # One that does not run: by its version.
        ({"installed": {"docker.io": "29.1.3-0ubuntu3"}}, 0, [IN_CONTAINERDS]),
        # None yet: what the distribution would give.
        ({"packages": {"docker.io": "29.1.3-0ubuntu3"}}, 0, [IN_CONTAINERDS]),
        ({"packages": {"docker.io": "26.1.5+dfsg1-9"}}, 0, []),
    ],
)
def test_where_images_lie_is_the_hosts_word(
    data: dict[str, Any], change: dict[str, Any], data_root: float, expected: list[str]
) -> None:
    disks = split(root=20, docker=100, containerd=20, data=data_root)
    assert found({**data, "docker_source": "distribution"}, disks=disks, **change) == expected


def test_places_on_one_disk_are_added_up_and_unused_ones_are_not(data: dict[str, Any]) -> None:
    disks = tuple(Disk(path, "a:/", 69 * 2**20) for path in ("/", "/var/lib/docker", "/var/lib/containerd"))
    needed = "69.0 GiB free for /, /var/lib/docker; 70 GiB are needed (preflight_disk_*)"
    assert found(data, disks=disks) == [needed]
    needed = "69.0 GiB free for /, /var/lib/docker, /var/lib/containerd; 105 GiB are needed (preflight_disk_*)"
    assert found(docker_29(data), disks=disks) == [needed]


def asked(tmp_path: Path, *, pinned: str, **programs: str) -> HostReport:
    """What preflight.sh says of this machine, with a vendor's repository in a directory and `programs` in the PATH."""
    repository = tmp_path / "repository"
    repository.mkdir()
    stanza = "Package: {}\nVersion: {}\nArchitecture: amd64\nFilename: x.deb\nSize: 1\nSHA256: " + "0" * 64 + "\n\n"
    versions = ("5:29.8.2-1~x", "5:28.5.2-1~x")
    (repository / "Packages").write_text("".join(stanza.format("docker-ce", version) for version in versions))
    (tmp_path / "bin").mkdir()
    for name, body in programs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    distribution = platform.freedesktop_os_release()["ID"]
    sources = f"{distribution}=file:{repository}|/|"
    command = Preflight().command({"paths": "/", "models": "/models", "sources": sources, "pinned": pinned})
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, env=environment)
    assert done.stderr == ""
    return parse_report(done.stdout.splitlines())


QUERY = 'for name; do :; done; case $name in docker-ce) printf "installed 5:28.5.2-1~x" ;; esac'


def test_a_repository_is_asked_only_for_what_is_not_installed(tmp_path: Path) -> None:
    report = asked(tmp_path, pinned="docker-ce=5:28.5.2-1", **{"dpkg-query": QUERY})
    assert (report.installed, report.offered) == ({"docker-ce": "5:28.5.2-1~x"}, {})


def test_what_a_repository_offers_comes_newest_first(tmp_path: Path) -> None:
    report = asked(tmp_path, pinned="docker-ce=5:28.5.3-1", **{"dpkg-query": QUERY})
    assert report.offered == {"docker-ce": ("5:29.8.2-1~x", "5:28.5.2-1~x")}


@pytest.mark.parametrize(
    ("says", "place"),
    [
        ("/var/lib/docker [[Backing Filesystem extfs] [Supports d_type true]]", "/var/lib/docker"),
        ("/data/docker [[Backing Filesystem xfs]]", "/data/docker"),
        ("/data/docker [[driver-type io.containerd.snapshotter.v1]]", "/var/lib/containerd"),
        ("Cannot connect to the Docker daemon", ""),
    ],
)
def test_a_running_docker_says_where_its_images_lie(tmp_path: Path, says: str, place: str) -> None:
    report = asked(tmp_path, pinned="", docker=f'[ "$1" = info ] && echo "{says}"; exit 0')
    assert report.images == place
    assert [disk.path for disk in report.disks] == ["/", *([place] if place else [])]


def test_the_memory_a_host_needs_is_the_plans_or_a_number(data: dict[str, Any]) -> None:
    needed = memory_needed_gib(parse(data))
    assert needed > memory_needed_gib(parse({**data, "guard_placement": "http://10.0.0.7:8000"}))
    assert memory_needed_gib(parse({**data, "preflight_memory_gib": 3})) == 3


def test_a_guard_on_another_host_listens_on_no_port_here(data: dict[str, Any]) -> None:
    def ports(**changes: Any) -> set[int]:
        return {each.first for each in listeners(parse({**data, **changes}))}

    assert ports() - ports(guard_placement="http://10.0.0.7:8000") == {8000}
