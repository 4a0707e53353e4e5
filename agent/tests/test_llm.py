"""Bedrock through the real plugin and the real botocore client, against a stand-in that speaks its protocol."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from livekit.agents import APIConnectOptions
from livekit.agents.llm import ChatContext
from voice_agent import asking
from voice_agent.bedrock_errors import MESSAGES, BedrockError
from voice_agent.llm import BedrockSession, bedrock

from models import REGION, Models, delta, event, hang, refusal, streaming
from stands import PLANTED, Stage

pytestmark = pytest.mark.anyio
ONCE = APIConnectOptions(max_retry=0, timeout=5)


async def ask(models: Models, **variables: str) -> str:
    settings = Stage(Path(), models=models).settings(**variables)
    session = BedrockSession(settings.aws_region, settings.bedrock_url)
    context = ChatContext.empty()
    context.add_message(role="system", content="Be brief.")
    context.add_message(role="user", content=f"Where is the {PLANTED}?")
    try:
        async with bedrock(settings, session).chat(chat_ctx=context, conn_options=ONCE) as stream:
            return "".join([chunk.delta.content or "" async for chunk in stream if chunk.delta])
    finally:
        await session.close()


async def one_token(models: Models, **variables: str) -> str:
    """What the question of a deploy's end finds."""
    return await asking.ask(Stage(Path(), models=models).settings(**variables))


async def failing(models: Models, **variables: str) -> BedrockError:
    with pytest.raises(BedrockError) as caught:
        await ask(models, **variables)
    assert PLANTED not in f"{caught.value} {caught.value!r} {caught.value.__cause__}"
    assert caught.value.message == f"Bedrock: {MESSAGES[caught.value.kind]}"
    return caught.value


async def test_streams_the_answer(models: Models) -> None:
    models.answer = f"The {PLANTED} is ready. It is green."
    assert await ask(models) == models.answer
    (prompt,) = models.prompts
    assert prompt["system"] == [{"text": "Be brief."}]
    assert prompt["inferenceConfig"] == {"maxTokens": 300, "temperature": 0.3}


async def test_the_region_is_the_one_that_was_said(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    monkeypatch.setenv("AWS_ENDPOINT_URL", models.bedrock_url)
    session = BedrockSession("eu-central-1", "")
    client = await session.client()
    assert client.meta.region_name == "eu-central-1"
    assert client.meta.endpoint_url == "https://bedrock-runtime.eu-central-1.amazonaws.com"
    assert await session.client() is client
    await session.close()


async def test_the_instances_role_comes_before_the_keys(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    role = "ASIAROLEOFTHEINSTANCE"
    credentials = {
        "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": role, "SecretAccessKey": "s", "Token": "t",
        "Expiration": "2099-01-01T00:00:00Z", "LastUpdated": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    path = "/latest/meta-data/iam/security-credentials/"
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(f"{request.method} {request.path}")
        if request.method == "PUT":
            return web.Response(text="token")
        return web.Response(text="the-role") if request.path == path else web.json_response(credentials)

    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    async with RawTestServer(answer) as metadata:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", str(metadata.make_url("/")))
        session = BedrockSession(REGION, models.bedrock_url)
        found = await session.get_credentials()
        assert (await found.get_frozen_credentials()).access_key == role
        await session.close()
    assert seen == ["PUT /latest/api/token", f"GET {path}", f"GET {path}the-role"]
    # and without the service, the keys
    assert await ask(models) == models.answer


async def test_no_credentials_is_said_and_tried_again(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    # what botocore would otherwise turn to: a token to trade in at STS
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/r")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/etc/hostname")
    assert (await failing(models)).kind == "credentials"
    assert await one_token(models) == "credentials"
    assert models.prompts == []


DENIED, INVALID, MISSING = (
    (403, "AccessDeniedException"),
    (400, "ValidationException"),
    (404, "ResourceNotFoundException"),
)
NO_POLICY = (
    "User: arn:aws:sts::123456789012:assumed-role/voice-host/i-1234567890abcdef0 is not authorized to perform: "
    "bedrock:InvokeModelWithResponseStream on resource: arn:aws:bedrock:eu-central-1::foundation-model/x "
)
NO_SUBSCRIPTION = (
    "Model access is denied due to IAM user or service role is not authorized to perform the required AWS Marketplace "
    "actions (aws-marketplace:ViewSubscriptions, aws-marketplace:Subscribe) to enable access to this model."
)
LEGACY = (
    "Access denied. This Model is marked by provider as Legacy and you have not been actively using the model in the "
    "last 30 days. Please upgrade to an active model on Amazon Bedrock"
)
ON_DEMAND = "Invocation of model ID x with on-demand throughput isn't supported. Retry with an inference profile."


@pytest.mark.parametrize(
    ("status", "code", "text", "kind", "retryable"),
    [
        (*DENIED, f"no access to {PLANTED}", "denied", False),
        (*DENIED, f"{NO_POLICY}because no identity-based policy allows it", "denied", False),
        (*DENIED, f"{NO_POLICY}with an explicit deny in a service control policy", "denied", False),
        (*DENIED, "You don't have access to the model with the specified model ID.", "no access", False),
        (*DENIED, "Your account is not authorized to invoke this API operation.", "no access", False),
        (*DENIED, NO_SUBSCRIPTION, "no access", False),
        (*INVALID, "Operation not allowed", "no access", False),
        (*INVALID, "The provided model identifier is invalid.", "unknown model", False),
        (*INVALID, ON_DEMAND, "profile", False),
        (*INVALID, f"the text {PLANTED} is too long", "invalid", False),
        (*MISSING, "Model use case details have not been submitted for this account.", "no access", False),
        (*MISSING, LEGACY, "ended", False),
        (*MISSING, "This model version has reached the end of its life.", "ended", False),
        (403, "UnrecognizedClientException", PLANTED, "credentials", False),
        (403, "ExpiredTokenException", PLANTED, "credentials", False),
        (429, "ThrottlingException", PLANTED, "throttled", True),
        (503, "ServiceUnavailableException", PLANTED, "throttled", True),
        (408, "ModelTimeoutException", PLANTED, "timeout", True),
        (500, "InternalServerException", PLANTED, "failed", True),
    ],
)
async def test_refusals_are_named(
    models: Models, status: int, code: str, text: str, kind: str, retryable: bool
) -> None:
    models.bedrock_instead = refusal(status, code, text)
    error = await failing(models)
    assert (error.kind, error.retryable) == (kind, retryable)
    assert len(models.prompts) == 1
    # and so says the question of a deploy's end
    assert await one_token(models) == kind


DAMAGED = bytearray(delta(PLANTED))
DAMAGED[-6] ^= 1


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        pytest.param(event("throttlingException", {"message": PLANTED}, "exception"), "throttled", id="an error"),
        pytest.param(bytes(DAMAGED), "failed", id="damage"),
    ],
)
async def test_a_stream_that_breaks_is_named(models: Models, frame: bytes, kind: str) -> None:
    models.bedrock_instead = streaming(frame)
    assert (await failing(models)).kind == kind
    assert await one_token(models) == kind


async def test_a_model_that_is_not_there(models: Models) -> None:
    assert (await failing(models, BEDROCK_MODEL_ID="mistral.nobody-v1:0")).kind == "unknown model"


async def test_nobody_there(models: Models) -> None:
    await models.stop("bedrock")
    assert (await failing(models)).kind == "unreachable"
    assert await one_token(models) == "unreachable"


async def test_the_question_is_asked_as_a_call_asks_and_for_one_token(models: Models) -> None:
    assert await one_token(models, BEDROCK_TEMPERATURE="0.5") == ""
    (prompt,) = models.prompts
    assert prompt["inferenceConfig"] == {"maxTokens": 1, "temperature": 0.5}
    assert [message["role"] for message in prompt["messages"]] == ["user"]
    assert prompt["system"]


async def test_the_question_ends_when_bedrock_says_nothing(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "SECONDS", 0.2)
    models.bedrock_instead = streaming(then=hang)
    assert await one_token(models) == "timeout"


@pytest.mark.parametrize(("instead", "status", "kind"), [(None, 0, ""), (NO_POLICY, 1, "denied")])
async def test_the_question_is_a_command_that_quotes_nothing(
    models: Models, instead: str | None, status: int, kind: str
) -> None:
    models.bedrock_instead = refusal(*DENIED, instead) if instead else None
    done = await asyncio.to_thread(Stage(Path(), models=models).run, "bedrock")
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (status, {"kind": kind}, "")
