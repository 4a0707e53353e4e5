"""Settings: every mistake at once, by key, with the fix."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest

from agent.voice_agent.residency import EU
from tests.lab.hub import content
from voicestack import parts
from voicestack.host.disks import CONTAINERDS, DOCKERS
from voicestack.settings.directory import unknown_content
from voicestack.settings.load import SettingsError, parse
from voicestack.settings.model import KEYS
from voicestack.settings.services import VOICES
from voicestack.teardown.plan import KEPT_ASIDE


def refusal(data: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as caught:
        parse(data)
    return str(caught.value)


def test_the_defaults_need_only_what_an_inventory_must_say(data: dict[str, Any]) -> None:
    settings = parse(data)
    assert settings.site.region == "eu-central-1"
    assert settings.site.language == "de"
    assert settings.voxtral.voice == "de_female"


def test_the_default_regions_are_the_eus_and_bedrocks_need_not_be_the_hosts(data: dict[str, Any]) -> None:
    assert parse(data).site.allowed_regions == list(EU)
    assert parse({**data, "site_region": "eu-west-1", "eic_region": "eu-central-1"}).site.region == "eu-west-1"


def test_the_models_in_use_are_those_that_settings_name(data: dict[str, Any]) -> None:
    turbo = "faster-whisper-large-v3-turbo"
    assert turbo not in parse(data).models
    assert list(parse({**data, "agent_whisper_model": turbo}).models) == ["voxtral-4b-tts", "llama-guard-3-1b", turbo]
    assert "llama-guard-3-1b" not in parse({**data, "guard_placement": "http://guard.example.org:8000"}).models


def test_the_voices_are_those_of_the_models_own_file() -> None:
    assert set(content.VOICES) == VOICES


def test_every_default_is_a_known_setting_and_every_setting_but_the_domain_has_a_default(data: dict[str, Any]) -> None:
    assert set(data) == set(KEYS)


def test_pyinfras_own_data_is_not_mistaken_for_a_setting(data: dict[str, Any]) -> None:
    parse({**data, "ssh_user": "ubuntu", "_sudo": True, "eic_region": "eu-west-3"})


def test_several_mistakes_are_reported_together(data: dict[str, Any]) -> None:
    data["voxtral_prot"] = 8001
    data["gate_least_overlap"] = 1.5
    data["voxtral_voice"] = "de_robot"
    del data["site_domain"]
    message = refusal(data)
    assert message.startswith("4 settings cannot work; nothing was changed:")
    assert "voxtral_prot: no such setting; did you mean voxtral_port?" in message
    assert "gate_least_overlap: Input should be less than 1 (got 1.5)" in message
    assert "voxtral_voice: not one of Voxtral's voices" in message
    assert "site_domain: missing; export VOICE_DOMAIN=voice.example.org, " in message


def test_numbers_from_the_command_line_become_text_where_text_is_wanted(data: dict[str, Any]) -> None:
    assert parse({**data, "nvidia_toolkit_version": 1.19}).nvidia.toolkit_version == "1.19"
    assert parse({**data, "gpu_card": 46068}).gpu.card == "46068"


@pytest.mark.parametrize(
    "version", ["1.0 -oDPkg::Pre-Invoke::=touch${IFS}/pwned", "1.0;reboot", "$(reboot)", "-1.0", "", "1.0\n", "newest"]
)
def test_a_version_that_apt_would_read_as_something_else_is_refused(data: dict[str, Any], version: str) -> None:
    """It is a word of a command of root's: `1.0 -oDPkg::Pre-Invoke::=...` ran as one."""
    assert "nvidia_toolkit_version: " in refusal({**data, "nvidia_toolkit_version": version})
    versions = {**data["docker_versions"], "docker-ce": version}
    assert "docker_versions['docker-ce']: " in refusal({**data, "docker_versions": versions})


@pytest.mark.parametrize("change", [{"docker-ce": None}, {"docker-scan-plugin": "0.23.0-1"}])
def test_docker_has_a_version_for_each_of_its_packages(data: dict[str, Any], change: dict[str, str | None]) -> None:
    versions = {name: version for name, version in {**data["docker_versions"], **change}.items() if version}
    message = refusal({**data, "docker_versions": versions})
    assert "docker_versions: not a version for each of docker-ce, docker-ce-cli, containerd.io," in message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"site_region": "us-east-1"}, "site_region: us-east-1 is outside site_allowed_regions (eu-central-1, "),
        ({"site_region": "eu-west-2"}, "eu-west-3): London is not in the EU; name a region inside"),
        ({"site_region": "eu-central-2"}, "eu-west-3): Zurich is not in the EU; name a region inside"),
        ({"site_region": "eu-x\nY"}, "site_region: not the name of a region, as eu-central-1 is"),
        ({"site_allowed_regions": ["eu-*"]}, "site_allowed_regions[0]: not the name of a region, as eu-central-1 is"),
        ({"site_allowed_regions": ["eu-central-1"]}, "inference profile prefix 'eu' routes to eu-north-1, "),
        ({"agent_bedrock_model": "us.x-v1:0"}, "agent_bedrock_model: us.x-v1:0: inference profile prefix 'us' leads"),
        ({"agent_bedrock_model": "sa.x-v1:0"}, "inference profile prefix 'sa' leads to regions that"),
        ({"agent_bedrock_url": "https://bedrock.us-east-1.api.aws"}, "is an AWS endpoint outside eu-central-1; name"),
        ({"agent_bedrock_url": "http://8.8.8.8/"}, "agent_bedrock_url: http://8.8.8.8/ is a public address, which"),
        ({"eic_region": "us-east-1"}, "VOICE_REGION: us-east-1 is outside site_allowed_regions (eu-central-1, "),
        ({"eic_region": "eu-west-2"}, "eu-west-3): London is not in the EU; name a region inside"),
        ({"guard_deadline_ms": 9001}, "guard_deadline_ms: Input should be less than or equal to 9000"),
        ({"guard_port": 8001}, "guard_port: 8001 is already voxtral_port"),
        ({"livekit_port": 443}, "livekit_port: 443 is already Caddy's HTTPS port"),
        ({"livekit_turn_port": 80}, "livekit_turn_port: 80 is already Caddy's HTTP port"),
        ({"livekit_rtc_port_end": 49000}, "livekit_rtc_port_end: 49000 must be greater than"),
        ({"livekit_rtc_port_start": 7000}, "livekit_rtc_port_start: the range 7000-50199 covers 7880"),
        ({"livekit_turn_relay_port_start": 3000}, "livekit_turn_relay_port_start: the range 3000-50299 covers 3478"),
        ({"livekit_turn_relay_port_start": 50100}, "the relay range overlaps the RTC range"),
        ({"voxtral_model": "voxtral-mini"}, "voxtral_model: 'voxtral-mini' is not in weights_catalog"),
        ({"guard_model": "voxtral-4b-tts"}, "has the architecture voxtral_tts, llama_guard_3 is needed"),
        ({"agent_whisper_model": "voxtral-4b-tts"}, "has the architecture voxtral_tts, whisper_ct2 is needed"),
        ({"livekit_turn_enabled": False}, "LiveKit sends callers to Google's and Twilio's STUN servers"),
        ({"image_vllm_voxtral": "vllm/vllm-openai:v0.18.0"}, "cannot serve Voxtral-4B-TTS"),
        ({"image_vllm_voxtral": "vllm/vllm-omni:v0.24.0"}, "image_vllm_voxtral: vllm-omni 0.24.0 is broken for"),
        ({"image_vllm_guard": "vllm/vllm-omni:latest"}, "image_vllm_guard: vllm/vllm-omni:latest names no release"),
        ({"nvidia_repository_keys": {}}, "nvidia_repository_keys: no key for debian12, debian13, ubuntu2204"),
        ({"nvidia_repository_keys": {"debian12": {}}}, "nvidia_repository_keys['debian12']['file']: Field required"),
        ({"guard_placement": "http://8.8.8.8:8000"}, "guard_placement: http://8.8.8.8:8000 would carry what callers"),
        ({"guard_placement": "http://134744072:8000"}, "guard_placement: http://134744072:8000 would carry what"),
        ({"gpu_card": "T4"}, "gpu_card: 'T4' is neither L4 nor another card's memory.total of nvidia-smi, in MiB"),
        ({"image_caddy": "caddy"}, "image_caddy: String should match pattern"),
        ({"agent_greeting": "eine\nzweite Zeile"}, "agent_greeting: String should match pattern"),
        ({"site_public_address": "somewhere"}, "site_public_address: 'somewhere' does not appear to be"),
        *(
            ({"guard_placement": placement}, "guard_placement: String should match pattern")
            for placement in ("gpu2", "http://user:secret@10.0.0.7:8000", "10.0.0.7", "http://10.0.0.7/v1")
        ),
    ],
)
def test_impossible_values_and_combinations_are_refused(
    data: dict[str, Any], change: dict[str, Any], expected: str
) -> None:
    assert expected in refusal({**data, **change})


def test_finding_03_a_plan_that_leaves_no_headroom_is_refused(data: dict[str, Any]) -> None:
    """32 sequences are the image's own stage file; with the guard beside it the card is more than full."""
    message = refusal({**data, "voxtral_stage0_sequences": 32})
    assert "voxtral_stage0_sequences: card 0 (L4, 22.03 GiB usable) would have to give" in message
    assert "voxtral_stage0_sequences: 32 -> " in message


def test_a_guard_on_another_host_needs_no_weights_here(data: dict[str, Any]) -> None:
    del data["weights_catalog"]["llama-guard-3-1b"]
    assert "guard_model: 'llama-guard-3-1b' is not in weights_catalog" in refusal(data)
    guard = parse({**data, "guard_placement": "http://10.0.0.7:8000"}).guard
    assert (guard.is_here, guard.url) == (False, "http://10.0.0.7:8000")


def test_finding_18_a_model_of_another_architecture_cannot_take_a_services_place(data: dict[str, Any]) -> None:
    catalog = {**data["weights_catalog"], "mini": {**data["weights_catalog"]["llama-guard-3-1b"]}}
    message = refusal({**data, "weights_catalog": catalog, "voxtral_model": "mini"})
    assert "voxtral_model: 'mini' has the architecture llama_guard_3, voxtral_tts is needed" in message


NOT_FOR_WEIGHTS = [
    *("/", "/etc", "/usr", "/root", "/opt", "/opt/voice", "/opt/voice/weights", "/home", "/home/ubuntu", "/srv"),
    *("/var", "/var/lib", "/var/lib/docker", "/var/lib/containerd/models", "/var/log/voice", "/tmp/models", "/dev/shm"),
    *("/mnt", "/run/models", "/proc", "/sys", "/boot/efi", "/lib64", "/bin.usr-is-merged", "/lost+found", "/media"),
    *("/models/../etc", "/models/..", "/./models", "/models/.", "//models", "/srv//models", "/models/", "models", ""),
    *("/models dir", "/models\n", "/m%dels"),
]


@pytest.mark.parametrize("directory", NOT_FOR_WEIGHTS)
def test_weights_directory_is_refused_unless_the_stack_may_own_it(data: dict[str, Any], directory: str) -> None:
    """Fault H4: /etc, /opt/voice, /home and twelve more were accepted, and all that is in them moved aside."""
    message = refusal({**data, "weights_directory": directory})
    (line,) = [line for line in message.splitlines() if line.startswith("  - ")]
    assert line.startswith("  - weights_directory: ")
    assert "such as /models, /srv/models or /data/models" in line


def test_no_directory_that_the_deploys_fill_nor_one_above_it_can_hold_the_weights(data: dict[str, Any]) -> None:
    known = parts.patterns(parts.stack_files(parse(data)))
    trees = [path for path in known if path.endswith("/")]
    for place in (*trees, *parts.directories(known), KEPT_ASIDE, DOCKERS, CONTAINERDS):
        for directory in (PurePosixPath(place), *PurePosixPath(place).parents):
            assert "weights_directory: " in refusal({**data, "weights_directory": str(directory)}), directory


@pytest.mark.parametrize(
    "directory",
    [
        *("/models", "/data", "/data/models", "/srv/models", "/mnt/models", "/media/disk", "/opt/models"),
        *("/opt/voice-models", "/home/ubuntu/models", "/srv/a/b.c/d_e-f", "/m", "/library", "/.hidden/models"),
    ],
)
def test_a_directory_of_its_own_may_hold_the_weights(data: dict[str, Any], directory: str) -> None:
    assert parse({**data, "weights_directory": directory}).weights.directory == directory


def test_ten_strangers_in_the_weights_directory_are_named_and_the_others_counted() -> None:
    names = [f"stranger-{number}" for number in range(12)]
    assert f"({', '.join(names[:10])} and 2 more)" in unknown_content("/models", names)
    assert f"({', '.join(names[:10])})" in unknown_content("/models", names[:10])


def test_a_revision_must_be_a_commit(data: dict[str, Any]) -> None:
    catalog = {**data["weights_catalog"]}
    catalog["voxtral-4b-tts"] = {**catalog["voxtral-4b-tts"], "revision": "main"}
    assert "weights_catalog['voxtral-4b-tts']['revision']" in refusal({**data, "weights_catalog": catalog})
