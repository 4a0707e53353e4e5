"""Every setting is where its reader reads it, or stands here with the reason why not."""

from __future__ import annotations

import functools
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.voice_agent.residency import EU
from tests.conftest import default_data
from tests.render import matrix
from tests.render.readers import host as host_files
from voicestack.host import base, docker, nvidia
from voicestack.host.platform import driver_pinning_packages, repositories
from voicestack.settings.load import parse
from voicestack.settings.model import KEYS, Settings
from voicestack.stack.render import render

MIRROR = "https://mirror.example.org"
FINGERPRINT = "A" * 40

CHANGED: dict[str, tuple[Any, ...]] = {
    "site_domain": ("other.example.org", "other.example.org {"),
    "site_acme": ("internal", "local_certs"),
    "site_acme_email": ("other@example.org", "email other@example.org"),
    "site_region": ("eu-west-3", "AWS_REGION='eu-west-3'"),
    "site_allowed_regions": ([*EU, "il-central-1"], f"AGENT_ALLOWED_REGIONS='{','.join(EU)},il-central-1'"),
    "site_language": ("en", "AGENT_LANGUAGE='en'"),
    "gpu_card": ("81559", "- --memory-mib=4845"),
    "gpu_headroom_gib": (5.0, "WHISPER_DEVICE='cpu'", "AGENT_MAX_SESSIONS='1'"),
    "nvidia_branch": ("590-server", "nvidia-headless-no-dkms-590-server-open=", "nvidia-driver-pinning-590"),
    "nvidia_kernel_modules": ("proprietary", "nvidia-headless-no-dkms-580-server=", "nvidia-kernel-dkms="),
    "nvidia_source": ("nvidia", "nvidia-open=", "https://developer.download.nvidia.com/compute/cuda/repos/ubuntu2404/"),
    "nvidia_repository_url": (f"{MIRROR}/{{distribution}}{{release}}", f"{MIRROR}/debian12 ", f"{MIRROR}/debian13 "),
    "nvidia_toolkit_url": (MIRROR, f"{MIRROR}/stable/deb/amd64 "),
    "nvidia_toolkit_fingerprint": (
        FINGERPRINT,
        f"https://nvidia.github.io/libnvidia-container/stable/deb/amd64 {FINGERPRINT}",
    ),
    "nvidia_toolkit_version": ("1.19.0-1", "nvidia-container-toolkit=1.19.0-1", "libnvidia-container1=1.19.0-1"),
    "docker_source": ("distribution", "docker.io="),
    "docker_repository_url": (f"{MIRROR}/{{distribution}}", f"{MIRROR}/debian ", f"{MIRROR}/ubuntu "),
    "docker_repository_fingerprint": (FINGERPRINT, f"https://download.docker.com/linux/ubuntu {FINGERPRINT}"),
    "docker_versions": (
        {**default_data()["docker_versions"], "docker-buildx-plugin": "0.29.1-1"},
        "docker-buildx-plugin=0.29.1-1~debian.13~trixie",
    ),
    "docker_registry_mirrors": ([MIRROR], f'"{MIRROR}"'),
    "docker_log_max_size": ("10m", '"max-size": "10m"'),
    "docker_log_max_file": (2, '"max-file": "2"'),
    "weights_directory": ("/srv/models", "- /srv/models/voxtral-4b-tts:/srv/models/voxtral-4b-tts:ro"),
    "image_livekit": ("livekit/livekit-server:v1.13.4", "image: livekit/livekit-server:v1.13.4"),
    "image_caddy": ("caddy:2.11.6-alpine", "image: voice-caddy:"),
    "image_vllm_voxtral": (
        "vllm/vllm-omni:v0.30.0",
        *("image: vllm/vllm-omni:v0.30.0", "- --deploy-config=/etc/voxtral/voxtral_tts.yaml", "stages:"),
    ),
    "image_vllm_guard": ("vllm/vllm-openai:v0.18.0", "image: vllm/vllm-openai:v0.18.0"),
    "image_agent_base": ("python:3.14-slim-trixie", "image: voice-agent:"),
    "livekit_port": (7890, "port: 7890", "LIVEKIT_URL='ws://127.0.0.1:7890'", "reverse_proxy 127.0.0.1:7890 {"),
    "livekit_tcp_port": (7891, "tcp_port: 7891"),
    "livekit_rtc_port_start": (50002, "port_range_start: 50002", "net.ipv4.ip_local_reserved_ports = 50002-50199,"),
    "livekit_rtc_port_end": (50197, "port_range_end: 50197", "net.ipv4.ip_local_reserved_ports = 50000-50197,"),
    "livekit_turn_enabled": (False, "net.ipv4.ip_local_reserved_ports = 50000-50199"),
    "livekit_turn_port": (3479, "udp_port: 3479"),
    "livekit_turn_relay_port_start": (50202, "relay_range_start: 50202", "net.ipv4.ip_local_reserved_ports = "),
    "livekit_turn_relay_port_end": (50297, "relay_range_end: 50297", "net.ipv4.ip_local_reserved_ports = "),
    "livekit_stun_servers": (["stun.example.org:3478"], 'stun_servers: ["stun.example.org:3478"]'),
    "livekit_log_level": ("warn", "level: warn"),
    "caddy_health_port": (8089, "http://:8089 {", 'test: ["CMD", "wget", "-qO-", "http://127.0.0.1:8089/healthz"]'),
    "caddy_log_level": ("WARN", "level WARN"),
    "talk_enabled": (False, "image: caddy:2.11.7-alpine"),
    "talk_client_sha256": ("a" * 64, "image: voice-caddy:"),
    "voxtral_model": ("another-speech", "TTS_MODEL='another-speech'", "- --served-model-name=another-speech"),
    "voxtral_port": (9001, "- --port=9001", "TTS_URL='http://127.0.0.1:9001'", 'ports: ["127.0.0.1:9001:9001"]'),
    "voxtral_voice": ("de_male", "TTS_VOICE='de_male'"),
    "voxtral_stage0_sequences": (3, "max_num_seqs: 3", "AGENT_MAX_SESSIONS='3'"),
    "voxtral_stage0_context": (2048, "max_model_len: 2048"),
    "voxtral_stage0_eager": (True, "enforce_eager: true", f"- --memory-mib={10_194 + 1_588 - 4 * 28}"),
    "voxtral_start_timeout_s": (600, "- --timeout=600", "- --stage-init-timeout=600", '"vllm-voxtral": 600'),
    "guard_model": ("another-guard", "GUARD_MODEL='another-guard'", "- --served-model-name=another-guard"),
    "guard_port": (9000, "- --port=9000", "GUARD_URL='http://127.0.0.1:9000'", 'ports: ["127.0.0.1:9000:9000"]'),
    "guard_placement": ("gpu1", 'device_ids: ["1"]', "- --lock=/run/gpu-start/gpu1.lock"),
    "guard_sequences": (3, "- --max-num-seqs=3", "AGENT_MAX_SESSIONS='3'"),
    "guard_context": (4096, "- --max-model-len=4096"),
    "guard_eager": (False, f"- --memory-mib={4_509 + 4 * 28}"),
    "guard_judges_callers": (False, "GUARD_INPUT='false'"),
    "guard_categories": (["S1"], "GUARD_CATEGORIES='S1'"),
    "guard_deadline_ms": (900, "GUARD_DEADLINE_MS='900'"),
    "guard_refusal": ("Nein.", "GUARD_REFUSAL='Nein.'"),
    "guard_start_timeout_s": (600, "- --timeout=600", '"vllm-guard": 600', "start_period: 1800s"),
    "agent_source": ("tests/agents/minimal", "image: voice-agent:"),
    "agent_health_port": (8181, "AGENT_HEALTH_PORT='8181'", '"http://127.0.0.1:8181/"'),
    "agent_name": ("reception", "AGENT_NAME='reception'"),
    "agent_greeting": ("Hallo.", "AGENT_GREETING='Hallo.'"),
    "agent_instructions": ("Sei kurz.", "AGENT_INSTRUCTIONS='Sei kurz.'"),
    "agent_apology": ("Verzeihung.", "AGENT_APOLOGY='Verzeihung.'"),
    "agent_publish_transcripts": (False, "AGENT_PUBLISH_TRANSCRIPTS='false'"),
    "agent_whisper_model": ("another-whisper", "FASTER_WHISPER_MODEL='/models/another-whisper'"),
    "agent_whisper_device": ("cpu", "WHISPER_DEVICE='cpu'", "AGENT_MAX_SESSIONS='1'", "image: voice-agent:"),
    "agent_whisper_threads": (2, "WHISPER_THREADS='2'"),
    "agent_bedrock_model": ("mistral.mistral-large-2402-v1:0", "BEDROCK_MODEL_ID='mistral.mistral-large-2402-v1:0'"),
    "agent_bedrock_url": ("https://bedrock.example.org", "BEDROCK_URL='https://bedrock.example.org'"),
    "agent_bedrock_max_tokens": (100, "BEDROCK_MAX_TOKENS='100'"),
    "agent_bedrock_temperature": (0.5, "BEDROCK_TEMPERATURE='0.5'"),
    "agent_max_sessions": (1, "AGENT_MAX_SESSIONS='1'", f"mem_limit: {int(1.5 * (590 + 66 + 2261) * 2**20)}"),
    "agent_drain_s": (30, "AGENT_DRAIN_SECONDS='30'", "stop_grace_period: 45s"),
    "agent_start_timeout_s": (200, "start_period: 200s", '"voice-agent": 200'),
    "agent_silent_call_s": (60, "AGENT_SILENT_CALL_SECONDS='60'"),
    "releases_keep": (3, '"releases_keep": 3'),
}
"""Setting -> another value, and how lines begin that are then new in a file, or name a package or a repository."""

ON_TO_THE_HOST = "the deploy asks the host with it; what comes of it is a fact that rendering is given"
FETCHER = "a word of the fetcher's request (tests/programs/test_fetch.py and test_weights_*)"
OF_OTHERS = {
    "preflight_": "preflight compares it with the host and writes nothing",
    "backup_": "deploys/backup.py's own (tests/unit/test_backup.py)",
    "restore_": "deploys/restore.py's own (tests/unit/test_backup.py)",
    "rollback_": "deploys/rollback.py's own (tests/unit/test_releases.py)",
    "gate_": "deploys/verify.py's own (tests/unit/test_gate.py)",
    "audit_": "deploys/audit.py's own (tests/unit/test_audit.py)",
    "teardown_": "deploys/teardown.py's own (tests/unit/test_teardown.py)",
    "launch_": "voicestack.launch's own (tests/programs/launching)",
}
UNRENDERED = {
    "site_public_address": ON_TO_THE_HOST,
    "site_imds_url": ON_TO_THE_HOST,
    "nvidia_repository_keys": "the key's file is fetched and its fingerprint compared (tests/unit/test_packages.py)",
    "pypi_index_url": "an argument of the agent's image build and of the fetcher",
    "talk_client_url": "an argument of the page's image build",
    "agent_aws_keys": "an argument of keys.sh, which writes the file (tests/unit/test_keys.py)",
    "talk_token_minutes": "deploys/talk.py's own (tests/unit/test_talk.py)",
    "weights_volume": "mounted by the deploy (tests/unit/test_volume.py); often an inventory's word (test_launch.py)",
    **{f"weights_{each}": FETCHER for each in ("endpoint", "source", "verify", "keep_replaced_days", "catalog")},
    **{key: why for section, why in OF_OTHERS.items() for key in KEYS if key.startswith(section)},
}
"""Setting -> why no rendered file changes with it."""

READ_BY = {
    "compose.yml": "test_compose.py",
    "env/": "test_compose.py",
    "env/voice-agent.env": "test_agent.py",
    "caddy/Caddyfile": "test_caddy.py",
    "livekit/livekit.yaml": "test_livekit.py",
    "voxtral/voxtral_tts.yaml": "test_stage.py",
    "engine/": "test_programs.py",
    "bin/": "test_programs.py",
    "/etc/docker/daemon.json": "test_host.py",
    "/etc/sysctl.d/60-voice.conf": "test_host.py",
    "/etc/systemd/system/docker.service.d/10-voice-gpu.conf": "test_host.py",
    "/etc/systemd/system/docker.service.d/20-voice-volume.conf": "test_host.py",
    "/etc/systemd/system/models.mount": "test_host.py",
    "/etc/systemd/system/nvidia-persistenced.service.d/10-voice.conf": "test_host.py",
    "/etc/systemd/system/voice-nvidia-uvm.service": "test_host.py",
    "/etc/apt/sources.list.d/voice-": "test_host.py",
    "/etc/apt/apt.conf.d/52voice-unattended-upgrades": "test_host.py",
    # kmod is on the hosts: there it keeps nouveau out.
    "/etc/modprobe.d/voice-blacklist-nouveau.conf": "../../host/test_host.py",
}
"""A file, or what its path begins with -> the tests in tests/render/readers that have it read. Nothing of sshd's is
written: such a file would be missing here.
"""


def lines(settings: Settings) -> Counter[str]:
    """All that the settings become before a host is asked: files, packages, repositories, line by line."""
    facts = replace(matrix.FACTS, agent_image=settings.agent_build.name)
    texts = [file.content.decode() for file in render(settings, facts).values()]
    texts += [base.kernel_parameters(settings), json.dumps(docker.daemon_config(settings), indent=1)]
    for platform in matrix.PLATFORMS.values():
        for packages in (nvidia.wanted_packages(settings, platform), docker.wanted_packages(settings, platform)):
            texts += [f"{name}={version}" for name, version in packages.install.items()]
        texts += driver_pinning_packages(settings, platform)
        texts += [f"{each.url} {each.fingerprint}" for each in repositories(settings, platform)]
    return Counter(line.strip() for text in texts for line in text.splitlines())


def test_every_setting_is_on_one_of_the_two_lists() -> None:
    assert CHANGED.keys() | UNRENDERED.keys() == KEYS
    assert not CHANGED.keys() & UNRENDERED.keys()


def test_every_file_has_a_reader() -> None:
    written = set(matrix.case().files)
    for name, platform in matrix.PLATFORMS.items():
        for source in ("docker", "distribution"):
            settings = matrix.case(name, docker_source=source, nvidia_source="nvidia").settings
            written |= host_files.files(settings, platform).keys()
    assert {path for path in written if not path.startswith(tuple(READ_BY))} == set()
    assert {place for place in READ_BY if not any(path.startswith(place) for path in written)} == set()
    assert all((Path(__file__).parent / "readers" / test).is_file() for test in READ_BY.values())


@functools.cache
def room() -> dict[str, Any]:
    """Settings to which any one change is possible: another model of each kind, STUN servers beside TURN, the page."""
    data = default_data()
    catalog = data["weights_catalog"]
    keys = ("voxtral_model", "guard_model", "agent_whisper_model")
    others = {CHANGED[key][0]: catalog[data[key]] for key in keys}
    stun = {"livekit_stun_servers": ["stun.example.com:3478"]}
    return {**data, "weights_catalog": {**catalog, **others}, **stun, "talk_enabled": True}


@functools.cache
def unchanged() -> Counter[str]:
    """What the room's settings become."""
    return lines(parse(room()))


@pytest.mark.parametrize("key", sorted(CHANGED))
def test_a_changed_setting_is_where_it_is_read(key: str) -> None:
    value, *wanted = CHANGED[key]
    new = lines(parse({**room(), key: value})) - unchanged()
    assert [begin for begin in wanted if not any(line.startswith(begin) for line in new)] == []
