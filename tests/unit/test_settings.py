"""Settings: every mistake at once, by key, with the fix."""

from __future__ import annotations

from typing import Any

import pytest

from deploys.settings import KEYS, SettingsError, parse


def refusal(data: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as caught:
        parse(data)
    return str(caught.value)


def test_the_defaults_need_only_what_an_inventory_must_say(data: dict[str, Any]) -> None:
    settings = parse(data)
    assert settings.site.region == "eu-central-1"
    assert settings.site.language == "de"
    assert settings.voxtral.voice == "de_female"


def test_every_default_is_a_known_setting_and_every_setting_but_the_domain_has_a_default(data: dict[str, Any]) -> None:
    assert set(data) == set(KEYS)


def test_pyinfras_own_data_is_not_mistaken_for_a_setting(data: dict[str, Any]) -> None:
    parse({**data, "ssh_user": "ubuntu", "_sudo": True})


def test_several_mistakes_are_reported_together(data: dict[str, Any]) -> None:
    data["voxtral_prot"] = 8001
    data["guard_memory"] = 1.5
    data["voxtral_voice"] = "de_robot"
    del data["site_domain"]
    message = refusal(data)
    assert message.startswith("4 settings cannot work; nothing was changed:")
    assert "voxtral_prot: no such setting; did you mean voxtral_port?" in message
    assert "guard_memory: Input should be less than 1 (got 1.5)" in message
    assert "voxtral_voice: not one of Voxtral's voices" in message
    assert "site_domain: missing; set it in group_data or give --data site_domain=..." in message


def test_numbers_from_the_command_line_become_text_where_text_is_wanted(data: dict[str, Any]) -> None:
    assert parse({**data, "docker_version": 5}).docker.version == "5"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"site_region": "us-east-1"}, "site_region: us-east-1 is outside site_allowed_regions (eu-*)"),
        (
            {"agent_bedrock_model": "us.mistral.pixtral-large-2502-v1:0"},
            "agent_bedrock_model: the inference profile us.*",
        ),
        ({"site_acme_email": ""}, "site_acme_email: needed with site_acme = 'production'"),
        ({"guard_port": 8001}, "guard_port: 8001 is already voxtral_port"),
        ({"livekit_port": 443}, "livekit_port: 443 is already Caddy's HTTPS port"),
        ({"livekit_rtc_port_end": 49000}, "livekit_rtc_port_end: 49000 must be greater than"),
        ({"livekit_rtc_port_start": 7000}, "livekit_rtc_port_start: the range 7000-50199 covers 7880"),
        ({"livekit_turn_relay_port_start": 50100}, "the relay range overlaps the RTC range"),
        ({"voxtral_model": "voxtral-mini"}, "voxtral_model: 'voxtral-mini' is not in weights_catalog"),
        ({"guard_model": "voxtral-4b-tts"}, "has the architecture voxtral_tts, llama_guard_3 is needed"),
        ({"livekit_turn_enabled": False}, "LiveKit sends callers to Google's and Twilio's STUN servers"),
        ({"image_vllm_voxtral": "vllm/vllm-openai:v0.18.0"}, "cannot serve Voxtral-4B-TTS"),
        (
            {"image_vllm_voxtral": "vllm/vllm-omni:v0.24.0"},
            "image_vllm_voxtral: vllm-omni 0.24.0 is broken for Voxtral",
        ),
        ({"image_vllm_guard": "vllm/vllm-omni:latest"}, "image_vllm_guard: vllm/vllm-omni:latest names no release"),
        ({"nvidia_repository_keys": {}}, "nvidia_repository_keys: no key for debian12, debian13, ubuntu2204"),
        ({"image_caddy": "caddy"}, "image_caddy: String should match pattern"),
        ({"agent_greeting": "eine\nzweite Zeile"}, "agent_greeting: String should match pattern"),
        ({"site_public_address": "somewhere"}, "site_public_address: 'somewhere' does not appear to be"),
    ],
)
def test_impossible_values_and_combinations_are_refused(
    data: dict[str, Any], change: dict[str, Any], expected: str
) -> None:
    assert expected in refusal({**data, **change})


def test_finding_03_memory_shares_that_leave_no_headroom_are_refused(data: dict[str, Any]) -> None:
    """0.8 + 0.1 is the image's own stage file; with the guard beside it the card is more than full."""
    message = refusal({**data, "voxtral_stage0_memory": 0.8, "voxtral_stage1_memory": 0.1})
    assert "= 1.15 of the card; at most 0.90" in message


def test_finding_18_a_model_of_another_architecture_cannot_take_a_services_place(data: dict[str, Any]) -> None:
    catalog = {**data["weights_catalog"], "mini": {**data["weights_catalog"]["llama-guard-3-1b"]}}
    message = refusal({**data, "weights_catalog": catalog, "voxtral_model": "mini"})
    assert "voxtral_model: 'mini' has the architecture llama_guard_3, voxtral_tts is needed" in message


def test_a_revision_must_be_a_commit(data: dict[str, Any]) -> None:
    catalog = {**data["weights_catalog"]}
    catalog["voxtral-4b-tts"] = {**catalog["voxtral-4b-tts"], "revision": "main"}
    assert "weights_catalog['voxtral-4b-tts']['revision']" in refusal({**data, "weights_catalog": catalog})
