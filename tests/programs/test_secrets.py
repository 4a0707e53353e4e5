"""A run's secrets: the first source wins, everything wrong is told at once, nothing is shown."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from voicestack.aws import Account, account
from voicestack.secrets.run import LIVEKIT_PAIR, SecretsError, read
from voicestack.secrets.sources import parameters

REGION = "eu-central-1"
EUROPE = [["eu-central-1", "eu-west-1"]]
TOKEN = "hf_" + "t" * 34
KEY, SECRET = "APIplanted", "s" * 40
AWS_ID, AWS_SECRET = "AKIA" + "P" * 16, "p" * 40
PAIR = {"LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": SECRET}
AGENTS = {"AGENT_AWS_ACCESS_KEY_ID": AWS_ID, "AGENT_AWS_SECRET_ACCESS_KEY": AWS_SECRET}
ROLE = "arn:aws:iam::111122223333:role/reader"
STORES = {"VOICE_SECRETS_FILE": "", "VOICE_SECRETS_REGION": REGION}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # botocore caches what it read: moto's credentials must be there before a client is made.
    account.cache_clear()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield
    account.cache_clear()


def put_parameters(path: str = "/voice/prod", kind: str = "SecureString", **values: str) -> None:
    client = boto3.client("ssm", region_name=REGION)
    for name, value in values.items():
        client.put_parameter(Name=f"{path}/{name}", Value=value, Type=kind)


def dotenv(directory: Path, text: str, mode: int = 0o600) -> dict[str, str]:
    file = directory / "secrets.env"
    file.write_text(text)
    file.chmod(mode)
    return {"VOICE_SECRETS_FILE": str(file)}


def values(environment: dict[str, str]) -> dict[str, str]:
    return {name: each.value.get_secret_value() for name, each in read(environment, EUROPE).found.items()}


def refusal(environment: dict[str, str], allowed: list[list[str]] = EUROPE) -> list[str]:
    with pytest.raises(SecretsError) as caught:
        read(environment, allowed)
    text = str(caught.value)
    for planted in (TOKEN, SECRET, AWS_SECRET):
        assert planted not in text
    first, *lines = text.splitlines()
    assert first.endswith("nothing was changed:")
    return [line.removeprefix("  - ") for line in lines]


def test_every_source_is_optional() -> None:
    secrets = read({"VOICE_SECRETS_FILE": ""}, EUROPE)
    assert secrets.found == {}
    assert secrets.origin() == "none given"
    assert secrets.pair(LIVEKIT_PAIR) is None


def test_the_first_source_that_has_a_secret_wins_and_is_named(aws: None, tmp_path: Path) -> None:
    put_parameters(HF_TOKEN="hf_parameter", LIVEKIT_API_KEY="APIparameter", LIVEKIT_API_SECRET="q" * 40)
    put_parameters(**AGENTS)
    environment = {
        **STORES,
        **dotenv(tmp_path, f"LIVEKIT_API_KEY={KEY}\nLIVEKIT_API_SECRET={SECRET}\nHF_TOKEN=hf_ofthefile\n"),
        "HF_TOKEN": TOKEN,
        "VOICE_SECRETS_SSM": "/voice/prod/",
    }
    assert values(environment) == {"HF_TOKEN": TOKEN, **PAIR, **AGENTS}
    origin = read(environment, EUROPE).origin()
    assert "HF_TOKEN from the environment" in origin
    assert f"LIVEKIT_API_KEY, LIVEKIT_API_SECRET from {tmp_path / 'secrets.env'};" in origin
    assert "AGENT_AWS_ACCESS_KEY_ID, AGENT_AWS_SECRET_ACCESS_KEY from SSM Parameter Store /voice/prod/" in origin
    shown = f"{origin}{read(environment, EUROPE)!r}"
    assert [planted for planted in (TOKEN, SECRET, AWS_SECRET) if planted in shown] == []


def test_secrets_manager_is_refused_with_the_store_that_there_is() -> None:
    for more in ({}, {"VOICE_SECRETS_SSM": "/voice/prod/"}):
        (problem,) = refusal({**STORES, **more, "VOICE_SECRETS_MANAGER": "voice/prod"})
        assert problem.startswith("VOICE_SECRETS_MANAGER: Secrets Manager is not asked any more; put them into SSM")
    assert read({**STORES, "VOICE_SECRETS_MANAGER": ""}, EUROPE).found == {}


def test_the_operators_own_aws_credentials_are_not_the_agents() -> None:
    own = {"AWS_ACCESS_KEY_ID": AWS_ID, "AWS_SECRET_ACCESS_KEY": AWS_SECRET, "VOICE_SECRETS_FILE": ""}
    assert read(own, EUROPE).found == {}


def test_an_empty_variable_gives_nothing(tmp_path: Path) -> None:
    assert values({**dotenv(tmp_path, f"HF_TOKEN={TOKEN}\n"), "HF_TOKEN": ""}) == {"HF_TOKEN": TOKEN}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"HF_TOKEN": f"HF_TOKEN={TOKEN}"}, "HF_TOKEN from the environment: must be at least 8"),
        ({**PAIR, "LIVEKIT_API_SECRET": "hunter2hunter2"}, "LIVEKIT_API_SECRET from the environment: must be at least"),
        ({**PAIR, "LIVEKIT_API_SECRET": f"HF_TOKEN={TOKEN}"}, "LIVEKIT_API_SECRET from the environment: must be"),
        (
            {**AGENTS, "AGENT_AWS_ACCESS_KEY_ID": "ASIA" + "P" * 16},
            "AGENT_AWS_ACCESS_KEY_ID from the environment: must",
        ),
        ({"LIVEKIT_API_KEY": KEY}, "LIVEKIT_API_KEY from the environment, LIVEKIT_API_SECRET from nowhere: the two"),
        ({"AGENT_AWS_SECRET_ACCESS_KEY": AWS_SECRET}, "AGENT_AWS_ACCESS_KEY_ID from nowhere, AGENT_AWS_SECRET_ACCESS"),
    ],
)
def test_what_cannot_be_used_is_refused_without_being_shown(given: dict[str, str], said: str) -> None:
    (problem,) = refusal({**given, "VOICE_SECRETS_FILE": ""})
    assert problem.startswith(said)
    assert "hunter2" not in problem


def test_halves_of_a_pair_from_two_sources_are_refused(tmp_path: Path) -> None:
    """An old secret in .env beside a new key in the environment would lock every caller out."""
    file = dotenv(tmp_path, f"LIVEKIT_API_KEY=APIold\nLIVEKIT_API_SECRET={SECRET}\n")
    (problem,) = refusal({**file, "LIVEKIT_API_KEY": KEY})
    assert problem.endswith("secrets.env line 2: the two belong together and must come from one source")


def test_every_problem_of_every_source_is_told_at_once(aws: None, tmp_path: Path) -> None:
    put_parameters(HF_TOKN=TOKEN)
    problems = refusal(
        {
            **STORES,
            **dotenv(tmp_path, f"LIVEKIT_API_KEY={KEY}\nDEEPGRAM_API_KEY=HF_TOKEN={TOKEN}\n", mode=0o644),
            "VOICE_SECRETS_SSM": "/voice/prod/",
            "AGENT_AWS_ACCESS_KEY_ID": f"{KEY} {SECRET}",
        }
    )
    file = tmp_path / "secrets.env"
    assert problems == [
        f"{file}: others than you may read or write it; chmod 600 {file}",
        f"{file} line 2: DEEPGRAM_API_KEY= is followed by HF_TOKEN= on the same line: two lines were merged; "
        "put each on its own",
        "SSM Parameter Store /voice/prod/: HF_TOKN is not known; did you mean HF_TOKEN?",
        "AGENT_AWS_ACCESS_KEY_ID from the environment: must be AKIA and 16 more capitals and digits",
    ]


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    (problem,) = refusal({"VOICE_SECRETS_FILE": str(tmp_path / "nowhere")})
    assert problem.endswith("nowhere is not a file")


@pytest.mark.parametrize(
    ("region", "allowed", "said"),
    [
        ("", EUROPE, "VOICE_SECRETS_REGION: not set; name the region of /voice/prod/"),
        ("us-east-1", EUROPE, "VOICE_SECRETS_REGION: us-east-1 is outside site_allowed_regions (eu-central-1, "),
        ("eu-west-1", [*EUROPE, ["eu-central-1"]], "VOICE_SECRETS_REGION: eu-west-1 is outside site_allowed_regions"),
    ],
)
def test_stores_are_asked_in_an_allowed_region_alone(
    monkeypatch: pytest.MonkeyPatch, region: str, allowed: list[list[str]], said: str
) -> None:
    monkeypatch.setattr("voicestack.secrets.sources.account", None)  # whoever asks AWS here, fails
    environment = {**STORES, "VOICE_SECRETS_REGION": region, "VOICE_SECRETS_SSM": "/voice/prod/"}
    (problem,) = refusal(environment, allowed)
    assert problem.startswith(said)


def test_stores_are_not_asked_where_no_allowed_region_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicestack.secrets.sources.account", None)
    assert read({**STORES, "VOICE_SECRETS_SSM": "/voice/prod/"}, []).found == {}
    assert refusal({"VOICE_SECRETS_FILE": "", "VOICE_SECRETS_SSM": "voice/prod"}, []) == [
        "VOICE_SECRETS_SSM: 'voice/prod' must begin with /",
        "VOICE_SECRETS_REGION: not set; name the region of voice/prod",
    ]


def test_stores_are_asked_as_the_role_that_the_run_assumes(aws: None) -> None:
    """The role is of another account than the operator, and so are the parameters."""
    theirs = Account(REGION, ROLE)
    theirs.client("ssm").put_parameter(Name="/voice/prod/HF_TOKEN", Value=TOKEN, Type="SecureString")
    with pytest.raises(ValueError, match="no parameter directly below"):
        parameters("/voice/prod", region=REGION)
    assert parameters("/voice/prod", region=REGION, role_arn=ROLE) == {"HF_TOKEN": TOKEN}
    stores = {"VOICE_SECRETS_SSM": "/voice/prod/", "VOICE_ROLE_ARN": ROLE}
    assert read({**STORES, **stores}, EUROPE).found["HF_TOKEN"].value.get_secret_value() == TOKEN


@pytest.mark.parametrize("role", ["", ROLE])
def test_a_profile_that_there_is_not_is_said(aws: None, monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    monkeypatch.setenv("AWS_PROFILE", "typo")
    (problem,) = refusal({**STORES, "VOICE_SECRETS_SSM": "/a", "VOICE_ROLE_ARN": role})
    assert problem.startswith(f"SSM Parameter Store in {REGION} cannot be asked (needs ssm:GetParametersByPath")
    assert problem.endswith("The config profile (typo) could not be found")


def test_parameters_must_be_encrypted_and_there(aws: None) -> None:
    with pytest.raises(ValueError, match="no parameter directly below /voice/prod"):
        parameters("/voice/prod/", region=REGION)
    put_parameters(kind="String", HF_TOKEN=TOKEN)
    with pytest.raises(ValueError, match="not of type SecureString: /voice/prod/HF_TOKEN") as caught:
        parameters("/voice/prod/", region=REGION)
    assert TOKEN not in str(caught.value)


def test_an_endpoint_of_somebodys_configuration_is_not_asked(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could lie in any region."""
    put_parameters(HF_TOKEN=TOKEN)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:1")
    assert parameters("/voice/prod", region=REGION) == {"HF_TOKEN": TOKEN}


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o602])
def test_a_file_that_others_can_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    (problem,) = refusal(dotenv(tmp_path, f"HF_TOKEN={TOKEN}\n", mode))
    assert problem.endswith(f"others than you may read or write it; chmod 600 {tmp_path}/secrets.env")
    assert values(dotenv(tmp_path, f"HF_TOKEN={TOKEN}\n")) == {"HF_TOKEN": TOKEN}


def test_more_parameters_than_a_page_and_none_below_another_path(aws: None) -> None:
    put_parameters(**{f"NAME_{number}": "x" for number in range(25)})
    put_parameters("/voice/prod/deeper", OTHER="x")
    assert sorted(parameters("/voice/prod", region=REGION)) == sorted(f"NAME_{number}" for number in range(25))


def test_aws_refusals_are_told_without_account_numbers(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    words = "User: arn:aws:iam::" + "987654" * 2 + ":user/x is not authorized"

    def refusing(*_: Any, **__: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": words}}, "GetParametersByPath")

    monkeypatch.setattr(Account, "client", refusing)
    with pytest.raises(ValueError, match=r"needs ssm:GetParametersByPath.*\[account number\]:user/x is not"):
        parameters("/voice/prod", region=REGION)


def test_debugging_everything_shows_no_answer_of_aws(aws: None, caplog: pytest.LogCaptureFixture) -> None:
    """`pyinfra --debug-all` sets every package's log level to DEBUG, and botocore logs the bodies of answers."""
    put_parameters(HF_TOKEN=TOKEN)
    logging.getLogger("botocore").setLevel(logging.NOTSET)
    with caplog.at_level(logging.DEBUG):
        assert parameters("/voice/prod", region=REGION) == {"HF_TOKEN": TOKEN}
    assert TOKEN not in caplog.text
