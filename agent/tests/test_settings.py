from __future__ import annotations

from pathlib import Path

import pytest
from voice_agent.environment import SettingsError
from voice_agent.residency import EU, refused_endpoint, refused_model, refused_region
from voice_agent.settings import Settings

from stands import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    built = Stage(tmp_path)
    built.models.reserve()
    return built


@pytest.fixture
def environment(stage: Stage) -> dict[str, str]:
    return stage.environment


def problems(environment: dict[str, str]) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        Settings(environment)
    return dict(problem.split(": ", 1) for problem in caught.value.problems)


def test_a_good_environment_is_read(environment: dict[str, str]) -> None:
    settings = Settings(environment | {"TTS_URL": "http://127.0.0.1:8001/"})
    assert settings.tts_url == "http://127.0.0.1:8001"
    assert settings.max_sessions == 2
    assert settings.health_port == int(environment["AGENT_HEALTH_PORT"])


def test_secret_and_words_stay_out_of_the_settings_text(environment: dict[str, str]) -> None:
    text = repr(Settings(environment))
    for name in ("LIVEKIT_API_SECRET", "AGENT_GREETING", "AGENT_INSTRUCTIONS", "AGENT_APOLOGY", "GUARD_REFUSAL"):
        assert environment[name] not in text


def test_every_mistake_is_reported_at_once(environment: dict[str, str]) -> None:
    wrong = {
        "LIVEKIT_URL": "127.0.0.1:7880",
        "LIVEKIT_API_SECRET": "",
        "TTS_URL": "ftp://host",
        "GUARD_URL": "http://[half",
        "FASTER_WHISPER_MODEL": "/models/nowhere",
        "AGENT_LANGUAGE": "german",
        "AGENT_MAX_SESSIONS": "0",
        "AGENT_DRAIN_SECONDS": "-1",
        "AGENT_HEALTH_PORT": "70000",
        "AGENT_PUBLISH_TRANSCRIPTS": "yes",
        "GUARD_CATEGORIES": "S1,S99",
        "GUARD_DEADLINE_MS": "1",
        "GUARD_INPUT": "maybe",
        "WHISPER_DEVICE": "tpu",
        "WHISPER_THREADS": "0",
        "BEDROCK_MAX_TOKENS": "none",
        "BEDROCK_TEMPERATURE": "2",
        "BEDROCK_URL": "https://bedrock-runtime.us-west-2.amazonaws.com",
        "AWS_ENDPOINT_URL": "https://example.com",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "ap-south-1",
        "BEDROCK_MODEL_ID": "us.mistral.pixtral-large-2502-v1:0",
        "LIVEKIT_AGENT_NAME": "somebody",
        "LK_DUMP_TTS": "1",
    }
    assert problems(environment | wrong).keys() == wrong.keys()


def test_an_empty_environment_names_everything_that_is_required() -> None:
    assert set(problems({})) == {
        "LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", "TTS_URL", "TTS_VOICE", "GUARD_URL",
        "FASTER_WHISPER_MODEL", "AGENT_LANGUAGE", "AGENT_GREETING", "AGENT_INSTRUCTIONS", "AGENT_APOLOGY",
        "AGENT_MAX_SESSIONS", "GUARD_REFUSAL", "AWS_REGION", "BEDROCK_MODEL_ID",
    }  # fmt: skip


def test_joined_lines_are_recognised_and_not_printed(environment: dict[str, str]) -> None:
    found = problems(environment | {"LIVEKIT_API_KEY": "HF_TOKEN=hf_abcdef"})
    assert "joined" in found["LIVEKIT_API_KEY"]
    assert "hf_abcdef" not in str(found)


def test_incomplete_weights_are_named(environment: dict[str, str], tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).touch()
    found = problems(environment | {"FASTER_WHISPER_MODEL": str(tmp_path)})
    assert found["FASTER_WHISPER_MODEL"].endswith("lacks model.bin, vocabulary.*")


def test_defaults(environment: dict[str, str]) -> None:
    few = {
        name: value
        for name, value in environment.items()
        if not name.startswith(("GUARD_DEADLINE", "WHISPER_", "AGENT_PUBLISH", "AGENT_APOLOGY", "BEDROCK_URL"))
    }
    settings = Settings(few | {"AGENT_LANGUAGE": "de"})
    assert settings.guard_deadline_ms == 1500
    assert settings.guard_input
    assert settings.guard_categories == {f"S{number}" for number in range(1, 14)}
    assert (settings.whisper_device, settings.whisper_threads) == ("cpu", 2)
    assert not settings.publish_transcripts
    assert settings.apology.startswith("Entschuldigung")
    assert settings.bedrock_url == ""
    assert (settings.bedrock_max_tokens, settings.bedrock_temperature) == (300, 0.3)


def test_an_apology_has_no_default_in_other_languages(environment: dict[str, str]) -> None:
    assert problems(environment | {"AGENT_LANGUAGE": "fr", "AGENT_APOLOGY": ""}) == {"AGENT_APOLOGY": "not set"}


@pytest.mark.parametrize(
    "url",
    [
        "http://172.30.0.1:9000",
        "http://bedrock.clinic.internal",
        "https://bedrock.example.org",
        "https://bedrock-runtime.eu-central-1.amazonaws.com",
        "https://bedrock-runtime.eu-central-1.amazonaws.com./",
        "https://bedrock-runtime-fips.eu-central-1.amazonaws.com",
        "https://bedrock-runtime.eu-central-1.api.aws",
        "https://vpce-1.bedrock-runtime.eu-central-1.vpce.amazonaws.com",
        "https://vpce-0a1b-eu-central-1a.bedrock-runtime.eu-central-1.vpce.amazonaws.com",
    ],
)
def test_endpoints_inside(url: str) -> None:
    assert refused_endpoint(url, "eu-central-1") is None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://bedrock-runtime.us-east-1.amazonaws.com", "an AWS endpoint outside eu-central-1"),
        ("https://bedrock-runtime.us-east-1.amazonaws.com./", "an AWS endpoint outside eu-central-1"),
        ("https://bedrock-runtime.eu-west-1.api.aws", "an AWS endpoint outside eu-central-1"),
        ("https://vpce-1.bedrock-runtime.eu-west-1.vpce.amazonaws.com", "an AWS endpoint outside eu-central-1"),
        ("https://bedrock-runtime.cn-north-1.amazonaws.com.cn", "an AWS endpoint outside eu-central-1"),
        ("https://bedrock-runtime.eu-central-1.amazonaws.com.cn", "an AWS endpoint outside eu-central-1"),
        # the region elsewhere than in its place
        ("https://eu-central-1.bedrock-runtime.us-east-1.amazonaws.com", "an AWS endpoint outside eu-central-1"),
        ("https://vpce-1.bedrock-runtime.us-east-1.eu-central-1.amazonaws.com", "an AWS endpoint outside eu-central-1"),
        ("http://bedrock-runtime.eu-central-1.amazonaws.com", "plain http to AWS"),
        ("http://8.8.8.8/", "a public address"),
        ("https://8.8.8.8/", "a public address"),
        ("http://134744072", "a public address"),
        ("http://0x8080808:8000", "a public address"),
        ("https://[64:ff9b::808:808]", "a public address"),
        ("http://[half", "no URL"),
    ],
)
def test_endpoints_outside(url: str, why: str) -> None:
    assert why in (refused_endpoint(url, "eu-central-1") or "")


@pytest.mark.parametrize("region", ["us-east-1", "europe", "", "eu", "eu-*", "ap-eu-1", "eu-central-11"])
def test_regions_outside(region: str) -> None:
    assert refused_region(region, EU)
    assert all(refused_region(each, EU) is None for each in EU)


@pytest.mark.parametrize(("region", "place"), [("eu-west-2", "London"), ("eu-central-2", "Zurich")])
def test_europe_is_more_than_the_eu(region: str, place: str) -> None:
    assert f"{place} is not in the EU" in (refused_region(region, EU) or "")
    assert refused_region(region, [*EU, region]) is None


@pytest.mark.parametrize(
    "model",
    [
        "mistral.mistral-large-2402-v1:0",
        "eu.mistral.pixtral-large-2502-v1:0",
        "arn:aws:bedrock:eu-central-1:1:inference-profile/eu.mistral.pixtral-large-2502-v1:0",
        "arn:aws:bedrock:eu-central-1::foundation-model/mistral.mistral-large-2402-v1:0",
        "arn:aws:bedrock:eu-west-1:1:application-inference-profile/a1b2c3",
    ],
)
def test_models_inside(model: str) -> None:
    assert refused_model(model, EU) is None


@pytest.mark.parametrize(
    "model",
    [
        "us.mistral.pixtral-large-2502-v1:0",
        "global.anthropic.claude-sonnet-4-20250514-v1:0",
        "apac.amazon.nova-lite-v1:0",
        "unheard-of.model",
        "arn:aws:bedrock:us-east-1:1:inference-profile/eu.mistral.pixtral-large-2502-v1:0",
        "arn:aws:bedrock:eu-central-1:1:inference-profile/us.mistral.pixtral-large-2502-v1:0",
        "arn:aws:bedrock:us-east-1:1:application-inference-profile/a1b2c3",
        "arn:aws:s3:::bucket",
    ],
)
def test_models_outside(model: str) -> None:
    assert refused_model(model, EU)


@pytest.mark.parametrize("missing", EU)
def test_a_geography_needs_all_of_it_allowed(missing: str) -> None:
    allowed = [region for region in EU if region != missing]
    why = refused_model("eu.mistral.pixtral-large-2502-v1:0", allowed)
    assert f"routes to {missing} too" in (why or "")


def test_the_process_refuses_to_start(stage: Stage) -> None:
    done = stage.run(AWS_REGION="us-east-1", TTS_VOICE="")
    assert done.returncode == 78
    assert "setting TTS_VOICE: not set\n" in done.stderr
    assert "setting AWS_REGION: region 'us-east-1' is outside the allowed eu-central-1 eu-north-1" in done.stderr


def test_healthcheck_without_an_agent(stage: Stage) -> None:
    done = stage.run("healthcheck")
    assert done.returncode == 1
    assert done.stdout.startswith("agent: no answer on port")


def test_unknown_arguments_are_refused(stage: Stage) -> None:
    assert stage.run("start").returncode == 64
