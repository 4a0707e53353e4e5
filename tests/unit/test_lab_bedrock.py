"""The lab's Bedrock, asked by the real client."""

from __future__ import annotations

import hashlib
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError
from botocore.session import Session

from tests.lab import aws
from tests.lab.bedrock import QUESTIONS, REPLIES
from tests.lab.bedrock.replies import reply
from tests.lab.bedrock.server import BedrockServer
from tests.lab.vllm.guard import judge

PROFILE = "eu.mistral.pixtral-large-2502-v1:0"
PLAIN = "mistral.ministral-3-8b-instruct"
HOURS = QUESTIONS["hours"]["en"]


@pytest.fixture(scope="module")
def server() -> Iterator[BedrockServer]:
    started = BedrockServer("127.0.0.1")
    started.in_background()
    yield started
    started.shutdown()
    started.server_close()


@pytest.fixture(autouse=True)
def _no_faults(server: BedrockServer) -> None:
    server.faults.control("reset", {})
    server.log.clear()


def control(server: BedrockServer, path: str, method: str = "POST") -> Any:
    """One request to the controls."""
    url = f"http://127.0.0.1:{server.server_port}/lab/{path}"
    with urllib.request.urlopen(urllib.request.Request(url, method=method)) as answer:
        return json.load(answer)


def client(server: BedrockServer, who: aws.Credentials = aws.USER, region: str = aws.REGION, **config: Any) -> Any:
    """A client that asks once."""
    return Session().create_client(
        "bedrock-runtime",
        region_name=region,
        endpoint_url=f"http://127.0.0.1:{server.server_port}",
        aws_access_key_id=who.access_key_id,
        aws_secret_access_key=who.secret_access_key,
        aws_session_token=who.token,
        config=Config(retries={"total_max_attempts": 1}, proxies={}, **config),
    )


@pytest.fixture(scope="module")
def bedrock(server: BedrockServer) -> Any:
    return client(server)


def said(*texts: str) -> list[dict[str, Any]]:
    """User and assistant, in turns."""
    roles = ("user", "assistant")
    return [{"role": roles[number % 2], "content": [{"text": text}]} for number, text in enumerate(texts)]


def stream(bedrock: Any, *texts: str, model: str = PROFILE, **fields: Any) -> list[dict[str, Any]]:
    return list(bedrock.converse_stream(modelId=model, messages=said(*texts), **fields)["stream"])


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(each["contentBlockDelta"]["delta"]["text"] for each in events if "contentBlockDelta" in each)


def refused(call: Callable[[], object]) -> tuple[int, str, str]:
    """Status, AWS's name and its words."""
    with pytest.raises(ClientError) as caught:
        call()
    response: Any = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"], response["Error"]["Message"]


def test_a_stream_has_its_events_in_order(bedrock: Any) -> None:
    events = stream(bedrock, HOURS, system=[{"text": "Be kind."}], inferenceConfig={"maxTokens": 200, "temperature": 0})
    words = len(REPLIES["hours"]["en"].split())
    kinds = [kind for event in events for kind in event]
    assert kinds == ["messageStart", *["contentBlockDelta"] * words, "contentBlockStop", "messageStop", "metadata"]
    assert text_of(events) == REPLIES["hours"]["en"]
    assert events[-2]["messageStop"]["stopReason"] == "end_turn"
    assert events[-1]["metadata"]["usage"]["outputTokens"] == words


def test_converse_answers_the_last_message(bedrock: Any) -> None:
    answer = bedrock.converse(modelId=PLAIN, messages=said(HOURS, "We are open.", QUESTIONS["name"]["en"]))
    assert answer["output"]["message"] == {"role": "assistant", "content": [{"text": REPLIES["name"]["en"]}]}
    assert answer["stopReason"] == "end_turn"


def test_a_long_reply_is_cut(bedrock: Any) -> None:
    events = stream(bedrock, HOURS, inferenceConfig={"maxTokens": 3})
    assert (text_of(events), events[-2]["messageStop"]["stopReason"]) == ("We are open", "max_tokens")


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("topic", REPLIES)
def test_each_question_gets_its_reply(topic: str, language: str) -> None:
    assert reply(QUESTIONS[topic][language], "") == REPLIES[topic][language]


def test_a_german_system_prompt_makes_german_replies() -> None:
    assert reply("Hello", "Antworten Sie kurz, bitte.") == REPLIES["other"]["de"]
    assert reply("Das ist gefaehrlich", "") == REPLIES["dangerous"]["de"]


@pytest.mark.parametrize("language", ["en", "de"])
def test_only_the_second_dangerous_sentence_is_the_guards(language: str) -> None:
    sentences = REPLIES["dangerous"][language].split(". ")
    assert [judge(sentence)[0] for sentence in sentences] == ["safe", "unsafe", "safe"]
    assert judge(QUESTIONS["dangerous"][language]) == ["safe"]


def test_the_role_may_ask_with_its_token(server: BedrockServer) -> None:
    assert text_of(stream(client(server, aws.role()), HOURS)) == REPLIES["hours"]["en"]


WITHOUT_TOKEN = replace(aws.role(), token=None)
UNKNOWN = "The security token included in the request is invalid."


@pytest.mark.parametrize(
    ("who", "region", "kind", "words"),
    [
        (aws.Credentials("AKIAI44QH8DHBEXAMPLE", "secret"), aws.REGION, "UnrecognizedClientException", UNKNOWN),
        (WITHOUT_TOKEN, aws.REGION, "UnrecognizedClientException", UNKNOWN),
        (aws.role(time.time() - 8 * 3600), aws.REGION, "ExpiredTokenException", "included in the request is expired"),
        (aws.Credentials(aws.USER.access_key_id, "wrong"), aws.REGION, "InvalidSignatureException", "does not match"),
        (aws.USER, "us-east-1", "InvalidSignatureException", "scoped to a valid region"),
    ],
)
def test_who_is_not_let_in(server: BedrockServer, who: aws.Credentials, region: str, kind: str, words: str) -> None:
    status, code, message = refused(lambda: stream(client(server, who, region), HOURS, model=PLAIN))
    assert (status, code) == (403, kind)
    assert words in message


def test_unsigned_requests_are_refused(server: BedrockServer) -> None:
    url = f"http://127.0.0.1:{server.server_port}/model/{PLAIN}/converse"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(url, data=b"{}"))
    assert (caught.value.code, json.load(caught.value)) == (403, {"message": "Missing Authentication Token"})


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("mistral.no-such-model", "The provided model identifier is invalid."),
        ("us.mistral.pixtral-large-2502-v1:0", "The provided model identifier is invalid."),
        ("arn:aws:bedrock:us-east-1::foundation-model/" + PLAIN, "The provided model identifier is invalid."),
        ("mistral.pixtral-large-2502-v1:0", "with on-demand throughput isn’t supported. Retry your request with"),
    ],
)
def test_model_ids_that_do_not_work(bedrock: Any, model: str, words: str) -> None:
    status, code, message = refused(lambda: stream(bedrock, HOURS, model=model))
    assert (status, code) == (400, "ValidationException")
    assert words in message


@pytest.mark.parametrize(
    "model",
    [
        f"arn:aws:bedrock:{aws.REGION}::foundation-model/{PLAIN}",
        f"arn:aws:bedrock:{aws.REGION}:123456789012:inference-profile/{PROFILE}",
    ],
)
def test_arns_work(bedrock: Any, model: str) -> None:
    assert text_of(stream(bedrock, HOURS, model=model)) == REPLIES["hours"]["en"]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"messages": []}, "must start with a user message"),
        ({"messages": said("a", "b")[1:]}, "must start with a user message"),
        ({"messages": said("a", "b")[:1] * 2}, "must alternate between user and assistant roles"),
        ({"messages": said("a", "b")}, "requires the last turn in the conversation to be a user message"),
        ({"messages": [{"role": "user", "content": []}]}, "content field in the Message object at messages.0 is empty"),
        ({"messages": said("a", "b", " ")}, "ContentBlock object at messages.2.content.0 is blank"),
        ({"messages": [{"role": "system", "content": [{"text": "a"}]}]}, "enum value set: [user, assistant]"),
        (
            {"inferenceConfig": {"temperature": 1.5}},
            "'inferenceConfig.temperature' failed to satisfy",
        ),
        ({"inferenceConfig": {"topP": 1.01}}, "must have value less than or equal to 1"),
        ({"modelId": "mistral.mistral-7b-instruct-v0:2", "system": [{"text": "a"}]}, "doesn't support system messages"),
    ],
)
def test_what_converse_does_not_take(bedrock: Any, request_: dict[str, Any], words: str) -> None:
    whole = {"modelId": PLAIN, "messages": said(HOURS), **request_}
    status, code, message = refused(lambda: bedrock.converse_stream(**whole))
    assert (status, code) == (400, "ValidationException")
    assert words in message


def test_a_wrong_structure_is_refused(server: BedrockServer) -> None:
    lax = client(server, parameter_validation=False)
    wrong = {"modelId": PLAIN, "messages": [{"content": [{"text": "Hello"}]}]}
    assert 'Missing required parameter in messages[0]: "role"' in refused(lambda: lax.converse(**wrong))[2]
    small = {"modelId": PLAIN, "messages": said("Hello"), "inferenceConfig": {"maxTokens": 0}}
    assert "inferenceConfig.maxTokens, value: 0, valid min value: 1" in refused(lambda: lax.converse(**small))[2]


@pytest.mark.parametrize(
    ("switch", "expected"),
    [
        ("deny?on=1", (403, "AccessDeniedException", "You don't have access to the model")),
        ("deny?on=1&client=127.0.0.1", (403, "AccessDeniedException", "You don't have access to the model")),
        ("forbid?on=1", (403, "AccessDeniedException", "User: arn:aws:sts::123456789012:assumed-role/")),
        ("end?on=1", (404, "ResourceNotFoundException", "This model version has reached the end of its life.")),
        ("legacy?on=1", (404, "ResourceNotFoundException", "Access denied. This Model is marked by provider as Le")),
        ("throttle?for=1", (429, "ThrottlingException", "Too many requests, please wait")),
        ("down?for=1", (503, "ServiceUnavailableException", "Bedrock is unable to process")),
    ],
)
def test_faults_come_and_go(server: BedrockServer, bedrock: Any, switch: str, expected: tuple[int, str, str]) -> None:
    control(server, switch)
    status, code, words = refused(lambda: stream(bedrock, HOURS))
    assert (status, code) == expected[:2]
    assert words.startswith(expected[2])
    assert "forbid" not in switch or f"inference-profile/{PROFILE} because" in words
    control(server, "deny?on=0")
    control(server, "deny?on=0&client=127.0.0.1")
    assert text_of(stream(bedrock, HOURS)) == REPLIES["hours"]["en"]


def test_a_fault_of_one_client_is_no_other_s(server: BedrockServer, bedrock: Any) -> None:
    control(server, "deny?on=1&client=192.0.2.1")
    assert text_of(stream(bedrock, HOURS)) == REPLIES["hours"]["en"]


def test_a_broken_stream_raises_after_half_of_the_words(server: BedrockServer, bedrock: Any) -> None:
    control(server, "break-stream")
    events = iter(bedrock.converse_stream(modelId=PLAIN, messages=said(HOURS))["stream"])
    half = len(REPLIES["hours"]["en"].split()) // 2
    heard = text_of([next(events) for _ in range(1 + half)])
    with pytest.raises(EventStreamError, match="modelStreamErrorException"):
        next(events)
    assert REPLIES["hours"]["en"].startswith(f"{heard} ")
    assert text_of(stream(bedrock, HOURS)) == REPLIES["hours"]["en"]


def test_words_come_as_slowly_as_asked(server: BedrockServer, bedrock: Any) -> None:
    control(server, "slow?first=60&between=10")
    began = time.monotonic()
    events = bedrock.converse_stream(modelId=PLAIN, messages=said(HOURS), inferenceConfig={"maxTokens": 4})["stream"]
    next(iter(events))
    first = time.monotonic() - began
    list(events)
    assert first >= 0.06
    assert time.monotonic() - began >= 0.09


def test_the_log_tells_what_was_asked_and_not_what_was_said(server: BedrockServer, bedrock: Any) -> None:
    stream(bedrock, "A secret.", model=PLAIN)
    refused(lambda: stream(bedrock, "Another.", model="none"))
    accepted, rejected = control(server, "log", "GET")
    expected = {
        "method": "POST",
        "path": f"/model/{PLAIN}/converse-stream",
        "status": 200,
        "done": True,
        "access_key_id": aws.USER.access_key_id,
        "message_sha256": hashlib.sha256(b"A secret.").hexdigest(),
    }
    assert accepted == {**expected, "time": pytest.approx(time.time(), abs=60)}
    assert (rejected["status"], rejected["message_sha256"]) == (400, None)
    control(server, "reset")
    assert control(server, "log", "GET") == []


@pytest.mark.parametrize("path", ["nonsense", "throttle?for=x", "deny"])
def test_unknown_controls_are_refused(server: BedrockServer, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        control(server, path)
