"""Every setting changes something that a reader reads, or stands here with the reason why not."""

from __future__ import annotations

import functools
import json
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

CHANGED: dict[str, Any] = {
    "site_domain": "other.example.org",
    "site_acme": "internal",
    "site_acme_email": "other@example.org",
    "site_region": "eu-west-3",
    "site_allowed_regions": [*EU, "il-central-1"],
    "site_language": "en",
    "nvidia_branch": "590-server",
    "nvidia_kernel_modules": "proprietary",
    "nvidia_source": "nvidia",
    "nvidia_repository_url": "https://mirror.example.org/{distribution}{release}",
    "nvidia_toolkit_url": "https://mirror.example.org/toolkit",
    "nvidia_toolkit_fingerprint": "A" * 40,
    "nvidia_toolkit_version": "1.19.0-1",
    "docker_source": "distribution",
    "docker_repository_url": "https://mirror.example.org/{distribution}",
    "docker_repository_fingerprint": "A" * 40,
    "docker_versions": {**default_data()["docker_versions"], "docker-buildx-plugin": "0.29.1-1"},
    "docker_registry_mirrors": ["https://mirror.example.org"],
    "docker_log_max_size": "10m",
    "docker_log_max_file": 2,
    "weights_directory": "/srv/models",
    "image_livekit": "livekit/livekit-server:v1.13.4",
    "image_caddy": "caddy:2.11.6-alpine",
    "image_vllm_voxtral": "vllm/vllm-omni:v0.28.0",
    "image_vllm_guard": "vllm/vllm-openai:v0.18.0",
    "image_agent_base": "python:3.14-slim-trixie",
    "livekit_port": 7890,
    "livekit_tcp_port": 7891,
    "livekit_rtc_port_start": 50002,
    "livekit_rtc_port_end": 50197,
    "livekit_turn_enabled": False,
    "livekit_turn_port": 3479,
    "livekit_turn_relay_port_start": 50202,
    "livekit_turn_relay_port_end": 50297,
    "livekit_stun_servers": ["stun.example.org:3478"],
    "livekit_log_level": "warn",
    "caddy_health_port": 8089,
    "caddy_log_level": "WARN",
    "voxtral_model": "another",
    "voxtral_port": 9001,
    "voxtral_voice": "de_male",
    "voxtral_stage0_sequences": 3,
    "voxtral_stage0_context": 2048,
    "voxtral_stage0_eager": True,
    "voxtral_start_timeout_s": 600,
    "guard_model": "another",
    "guard_port": 9000,
    "guard_sequences": 3,
    "guard_context": 4096,
    "guard_eager": False,
    "guard_judges_callers": False,
    "guard_categories": ["S1"],
    "guard_deadline_ms": 900,
    "guard_refusal": "Nein.",
    "guard_start_timeout_s": 600,
    "agent_health_port": 8181,
    "agent_name": "reception",
    "agent_greeting": "Hallo.",
    "agent_instructions": "Sei kurz.",
    "agent_apology": "Verzeihung.",
    "agent_publish_transcripts": False,
    "agent_whisper_model": "another",
    "agent_whisper_device": "cpu",
    "agent_whisper_threads": 2,
    "agent_bedrock_model": "mistral.mistral-large-2402-v1:0",
    "agent_bedrock_url": "https://bedrock.example.org",
    "agent_bedrock_max_tokens": 100,
    "agent_bedrock_temperature": 0.5,
    "agent_max_sessions": 1,
    "agent_drain_s": 30,
    "agent_start_timeout_s": 200,
    "releases_keep": 3,
    "agent_silent_call_s": 60,
    "gpu_card": "81559",
    "gpu_headroom_gib": 5.0,
    "guard_placement": "gpu1",
    "talk_enabled": False,
    "talk_client_sha256": "a" * 64,
}
"""Setting -> a value that must show in a rendered file, a package, a repository or the agent's image."""

ON_TO_THE_HOST = "the deploy asks the host with it; what comes of it is a fact that rendering is given"
PREFLIGHT = "preflight compares it with the host and writes nothing"
FETCHER = "a word of the fetcher's request (tests/programs/test_fetch.py and test_weights_*)"
GATE = "deploys/verify.py's own (tests/unit/test_gate.py)"
UNRENDERED = {
    "site_public_address": ON_TO_THE_HOST,
    "site_imds_url": ON_TO_THE_HOST,
    "nvidia_repository_keys": "the key's file is fetched and its fingerprint compared (tests/unit/test_packages.py)",
    "pypi_index_url": "an argument of the agent's image build and of the fetcher",
    "talk_client_url": "an argument of the page's image build",
    "agent_aws_keys": "an argument of keys.sh, which writes the file (tests/unit/test_keys.py)",
    "talk_token_minutes": "deploys/talk.py's own (tests/unit/test_talk.py)",
    "weights_volume": "mounted by the deploy (tests/unit/test_volume.py); often an inventory's word (test_launch.py)",
    "weights_endpoint": FETCHER,
    "weights_source": FETCHER,
    "weights_verify": FETCHER,
    "weights_keep_replaced_days": FETCHER,
    "weights_catalog": FETCHER,
    "backup_recipients": "deploys/backup.py's own (tests/unit/test_backup.py)",
    "backup_directory": "deploys/backup.py's own (tests/unit/test_backup.py)",
    "restore_file": "deploys/restore.py's own (tests/unit/test_backup.py)",
    "restore_identity": "deploys/restore.py's own (tests/unit/test_backup.py)",
    "restore_domain": "deploys/restore.py's own (tests/unit/test_backup.py)",
    "rollback_to": "deploys/rollback.py's own (tests/unit/test_releases.py)",
    **{key: PREFLIGHT for key in KEYS if key.startswith("preflight_")},
    **{key: GATE for key in KEYS if key.startswith("gate_")},
    **{key: "deploys/audit.py's own (tests/unit/test_audit.py)" for key in KEYS if key.startswith("audit_")},
    **{key: "deploys/teardown.py's own (tests/unit/test_teardown.py)" for key in KEYS if key.startswith("teardown_")},
    **{key: "voicestack.launch's own (tests/programs/launching)" for key in KEYS if key.startswith("launch_")},
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


def everything(settings: Settings) -> list[Any]:
    """All that the settings become before a host is asked: files, packages, repositories, the agent's image."""
    image = settings.agent_build.name
    made: list[Any] = [render(settings, matrix.FACTS), image, base.kernel_parameters(settings)]
    made.append(json.dumps(docker.daemon_config(settings)))
    for platform in matrix.PLATFORMS.values():
        made.append(nvidia.wanted_packages(settings, platform))
        made.append(driver_pinning_packages(settings, platform))
        made.append(docker.wanted_packages(settings, platform))
        made.append(repositories(settings, platform))
    return made


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
    others = {f"another-{key}": catalog[data[key]] for key in keys}
    stun = {"livekit_stun_servers": ["stun.example.com:3478"]}
    return {**data, "weights_catalog": {**catalog, **others}, **stun, "talk_enabled": True}


@functools.cache
def unchanged() -> list[Any]:
    """What the room's settings become."""
    return everything(parse(room()))


@pytest.mark.parametrize("key", sorted(CHANGED))
def test_a_changed_setting_changes_what_is_rendered(key: str) -> None:
    value = f"another-{key}" if CHANGED[key] == "another" else CHANGED[key]
    assert everything(parse({**room(), key: value})) != unchanged()
