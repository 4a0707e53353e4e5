"""Bedrock's models before anything is changed; for AWS answer moto and tests/lab/bedrock/catalog.py."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from moto import mock_aws

from agent.voice_agent.residency import EU
from tests.lab.bedrock.catalog import LEGACY, USER, Catalog
from tests.unit.test_preflight import GOOD
from voicestack import bedrock
from voicestack.aws import Account, account
from voicestack.bedrock import Answer, answer, main, question
from voicestack.host import preflight
from voicestack.settings.load import parse

REGION = "eu-central-1"
PIXTRAL, SONG = "mistral.pixtral-large-2502-v1:0", "mistral.song-v1:0"
MINISTRAL = "mistral.ministral-3-14b-instruct"
DENIED = "AccessDeniedException"
FOUR = ("eu-central-1", "eu-north-1", "eu-west-1", "eu-west-3")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No answer of another test's, and nobody's own variables."""
    for name in ("VOICE_ROLE_ARN", "VOICE_REGION", "VOICE_CONNECT"):
        monkeypatch.delenv(name, raising=False)
    account.cache_clear()
    bedrock._question.cache_clear()
    yield
    account.cache_clear()
    bedrock._question.cache_clear()


@pytest.fixture
def catalog() -> Iterator[Catalog]:
    """Two regions of an account."""
    made = Catalog()
    made.has(REGION, PIXTRAL, *FOUR)
    made.has(REGION, SONG, *EU, "eu-central-2")
    made.has(REGION, "amazon.titan-embed-text-v2:0", outputModalities=["EMBEDDING"])
    made.has(REGION, "mistral.whole-v1:0", responseStreamingSupported=False)
    made.has(REGION, "mistral.reserved-v1:0", inferenceTypesSupported=["PROVISIONED"])
    made.has("eu-west-1", MINISTRAL)
    made.has("eu-west-1", "mistral.old-v1:0", modelLifecycle=LEGACY)
    with mock_aws(), made.served():
        yield made


def said(model: str, region: str = REGION) -> Answer:
    return answer(Account(region), model, EU)


# --- one model ------------------------------------------------------------------------------------------------------


def test_a_profile_of_allowed_regions_is_two_calls_and_a_model_one(catalog: Catalog) -> None:
    assert said(f"eu.{PIXTRAL}") == Answer()
    assert catalog.asked == [(REGION, "GetInferenceProfile"), (REGION, "GetFoundationModel")]
    catalog.asked.clear()
    assert said(MINISTRAL, "eu-west-1") == Answer()
    assert catalog.asked == [("eu-west-1", "GetFoundationModel")]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (f"eu.{SONG}", "routes to eu-central-2 too, outside site_allowed_regions; "),
        (PIXTRAL, "is not sold on demand there, but perhaps through an inference profile; "),
        (MINISTRAL, f"{REGION} (site_region) has no such model or inference profile; "),
        (f"eu.{MINISTRAL}", f"{REGION} (site_region) has no such model or inference profile; "),
        ("mistral", f"{REGION} (site_region) has no such model or inference profile; "),
    ],
)
@pytest.mark.usefixtures("catalog")
def test_a_model_that_these_settings_may_not_ask_is_refused(model: str, words: str) -> None:
    (problem,), notes = said(model)
    assert problem.startswith(f"agent_bedrock_model: {model}")
    assert words in problem
    assert problem.endswith("`.venv/bin/python -m voicestack.bedrock` lists what there is")
    assert notes == ()


def test_a_model_of_which_aws_says_no_more_is_taken(catalog: Catalog) -> None:
    for name in ("inferenceTypesSupported", "modelLifecycle"):
        del catalog.models["eu-west-1"][MINISTRAL][name]
    assert said(MINISTRAL, "eu-west-1") == Answer()


def test_a_profile_to_anywhere_is_refused(catalog: Catalog) -> None:
    catalog.profiles[REGION][f"eu.{PIXTRAL}"] = (*FOUR, "")
    (problem,), _ = said(f"eu.{PIXTRAL}")
    assert "routes to anywhere too" in problem


def test_a_legacy_model_is_told_with_its_dates_and_taken(catalog: Catalog) -> None:
    problems, (note,) = said("mistral.old-v1:0", "eu-west-1")
    assert problems == ()
    assert "mistral.old-v1:0 is LEGACY, since 2026-10-01, ends 2027-04-01: AWS serves it only to accounts" in note
    catalog.models["eu-west-1"]["mistral.old-v1:0"]["modelLifecycle"] = {"status": "LEGACY"}
    assert "mistral.old-v1:0 is LEGACY: AWS" in said("mistral.old-v1:0", "eu-west-1").notes[0]


def test_who_has_no_right_to_ask_is_told_which_and_no_account_of_aws_s(catalog: Catalog) -> None:
    catalog.refused = {"GetInferenceProfile": DENIED}
    problems, (note,) = said(f"eu.{PIXTRAL}")
    assert problems == ()
    assert f"eu.{PIXTRAL} in {REGION}: AWS cannot be asked beforehand (you lack bedrock:GetInferenceProfile" in note
    assert USER not in note


def test_where_a_profile_leads_is_compared_without_the_right_to_ask_for_its_model(catalog: Catalog) -> None:
    catalog.refused = {"GetFoundationModel": DENIED}
    assert said(f"eu.{PIXTRAL}") == Answer()
    assert "eu-central-2" in said(f"eu.{SONG}").problems[0]


def test_an_aws_that_is_busy_is_asked_once_and_a_note_without_its_words(catalog: Catalog) -> None:
    catalog.refused = {"GetInferenceProfile": "ThrottlingException"}
    problems, (note,) = said(f"eu.{PIXTRAL}")
    assert (problems, "beforehand (ThrottlingException); " in note, USER in note) == ((), True, False)
    assert len(catalog.asked) == 1


def test_an_aws_that_cannot_be_reached_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK", f"http://127.0.0.1:{closed.getsockname()[1]}")
    problems, (note,) = said(f"eu.{PIXTRAL}")
    assert (problems, "Could not connect" in note) == ((), True)


def test_without_credentials_no_metadata_service_is_asked_and_the_run_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_EC2_METADATA_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    with socket.create_server(("127.0.0.1", 0)) as metadata:
        metadata.settimeout(0)
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{metadata.getsockname()[1]}")
        problems, (note,) = answer(Account(REGION, metadata=False), f"eu.{PIXTRAL}", EU)
        assert (problems, "Unable to locate credentials" in note) == ((), True)
        with pytest.raises(BlockingIOError):
            metadata.accept()


# --- before a deploy ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["", f"https://vpce-1.bedrock-runtime.{REGION}.vpce.amazonaws.com"])
def test_hosts_that_mean_the_same_model_ask_once(catalog: Catalog, data: dict[str, Any], url: str) -> None:
    settings = parse({**data, "agent_bedrock_url": url})
    asked: list[Any] = []
    hosts = [threading.Thread(target=lambda: asked.append(question(settings, through_ec2=True))) for _ in range(4)]
    for each in hosts:
        each.start()
    for each in hosts:
        each.join()
    assert [each.answer() for each in asked] == [Answer()] * 4
    assert len(catalog.asked) == 2


@pytest.mark.parametrize("url", ["http://10.0.0.7:8094", "https://models.example.org"])
def test_a_bedrock_of_the_operator_s_own_is_none_that_aws_knows(data: dict[str, Any], url: str) -> None:
    assert question(parse({**data, "agent_bedrock_url": url}), through_ec2=True) is None


def test_a_run_does_not_wait_long_for_what_it_can_do_without(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bedrock, "WAIT_S", 0.05)
    done = threading.Event()
    monkeypatch.setattr(bedrock, "answer", lambda *_: done.wait(10))
    asked = question(parse(data), through_ec2=True)
    assert asked
    problems, (note,) = asked.answer()
    assert (problems, "no answer in 0.05 s" in note) == ((), True)
    done.set()


class Host(SimpleNamespace):
    """One that preflight has nothing against."""

    def __init__(self) -> None:
        super().__init__(name="box", data=SimpleNamespace(), told=[])

    def get_fact(self, *_: Any, **__: Any) -> Any:
        return GOOD

    def log(self, text: str, _: Any) -> None:
        self.told.append(text)


def test_preflight_refuses_a_model_that_is_not_there_and_tells_of_one_that_ends(
    catalog: Catalog, data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "hub_token", lambda: "hf_" + "t" * 34)
    monkeypatch.setattr(preflight, "ask_volume", lambda *_: None)
    host: Any = Host()
    preflight.require(host, parse(data))
    assert host.told == []
    absent = parse({**data, "agent_bedrock_model": MINISTRAL})
    with pytest.raises(preflight.PreflightError, match=f"1 finding; nothing was changed:\n.*{MINISTRAL}"):
        preflight.require(host, absent)
    preflight.require(host, parse({**data, "agent_bedrock_model": "mistral.old-v1:0", "site_region": "eu-west-1"}))
    assert ["LEGACY" in each for each in host.told] == [True]


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_lists_what_the_settings_may_name_and_the_line_that_does(
    catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog.has(REGION, "meta.llama-v1:0")
    assert main([]) == 0
    printed = capsys.readouterr().out
    blocks = printed.split("\neu-")
    assert [line.split()[:2] for line in blocks[0].splitlines()[1:]] == [
        [f"eu.{PIXTRAL}", "ACTIVE"],
        [f"eu.{SONG}", "ACTIVE"],
        [PIXTRAL, "ACTIVE"],
        [SONG, "ACTIVE"],
    ]
    assert f"to {', '.join(FOUR)}\n" in blocks[0]
    assert "NOT ACCEPTED: routes to eu-central-2 too" in blocks[0]
    assert "NOT ACCEPTED: is not sold on demand there" in blocks[0]
    assert "LEGACY, since 2026-10-01, ends 2027-04-01 on demand" in printed
    assert "\neu-south-1: nothing\n" in printed
    assert printed.partition(" takes it, if the account may use it:\n")[2].splitlines() == [
        f'  site_region, agent_bedrock_model = "{REGION}", "eu.{PIXTRAL}"',
        f'  site_region, agent_bedrock_model = "eu-west-1", "{MINISTRAL}"',
    ]


def test_the_command_s_status_says_whether_the_settings_model_is_there(
    catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", f"agent_bedrock_model={MINISTRAL}"]) == 1
    assert f"agent_bedrock_model: {MINISTRAL}: {REGION} (site_region) has no such model" in capsys.readouterr().out
    catalog.refused = {"ListFoundationModels": DENIED}
    assert main(["--vendor", "meta"]) == 0
    assert f"{REGION}: cannot be asked: you lack bedrock:" in capsys.readouterr().out
    assert main(["--group", "nobody"]) == 2
    assert main(["--data", "agent_bedrock_modle=x"]) == 2
