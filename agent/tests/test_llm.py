"""Bedrock through the real plugin and the real botocore client, against a stand-in that speaks its protocol."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from livekit.agents import APIConnectOptions
from livekit.agents.llm import ChatContext
from voice_agent import asking
from voice_agent.bedrock_errors import MESSAGES, BedrockError
from voice_agent.llm import BedrockSession, bedrock
from voice_agent.metrics import KINDS
from voice_agent.settings import Settings

from models import REGION, Handler, Models, event, free_port, refusal
from stands import AGENT, PLANTED, Stage

pytestmark = pytest.mark.anyio
ONCE = APIConnectOptions(max_retry=0, timeout=5)


@pytest.fixture
async def models(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Models]:
    built = Models(answer=f"The {PLANTED} is ready. It is green.")
    await built.start("bedrock")
    for name, value in Stage(Path(), models=built).environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    yield built
    await built.stop()


async def ask(models: Models, **changes: object) -> str:
    settings = replace(Settings.from_environment(Stage(Path(), models=models).environment), **changes)  # type: ignore[arg-type]
    session = BedrockSession(settings.aws_region, settings.bedrock_url)
    context = ChatContext.empty()
    context.add_message(role="system", content="Be brief.")
    context.add_message(role="user", content=f"Where is the {PLANTED}?")
    try:
        async with bedrock(settings, session).chat(chat_ctx=context, conn_options=ONCE) as stream:
            return "".join([chunk.delta.content or "" async for chunk in stream if chunk.delta])
    finally:
        await session.close()


async def failing(models: Models, **changes: object) -> BedrockError:
    with pytest.raises(BedrockError) as caught:
        await ask(models, **changes)
    assert PLANTED not in f"{caught.value} {caught.value!r} {caught.value.__cause__}"
    assert caught.value.message == f"Bedrock: {MESSAGES[caught.value.kind]}"
    return caught.value


async def test_streams_the_answer(models: Models) -> None:
    assert await ask(models) == models.answer
    (prompt,) = models.prompts
    assert prompt["system"] == [{"text": "Be brief."}]
    assert prompt["inferenceConfig"] == {"maxTokens": 300, "temperature": 0.3}


async def test_the_region_is_the_one_that_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
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
    app = web.Application()
    path = "/latest/meta-data/iam/security-credentials/"
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(f"{request.method} {request.path}")
        if request.method == "PUT":
            return web.Response(text="token")
        return web.Response(text="the-role") if request.path == path else web.json_response(credentials)

    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{port}/")
    session = BedrockSession(REGION, models.bedrock_url)
    found = await session.get_credentials()
    assert (await found.get_frozen_credentials()).access_key == role
    assert seen == ["PUT /latest/api/token", f"GET {path}", f"GET {path}the-role"]
    await session.close()
    await runner.cleanup()
    # and without the service, the keys
    assert await ask(models) == models.answer


async def test_no_credentials_is_said_and_tried_again(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    # what botocore would otherwise turn to: a token to trade in at STS
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/r")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/etc/hostname")
    assert (await failing(models)).kind == "credentials"
    assert models.prompts == []


ON_DEMAND = "Invocation of model ID x with on-demand throughput isn't supported. Retry with an inference profile."
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
NO_FORM = "Model use case details have not been submitted for this account."


@pytest.mark.parametrize(
    ("status", "code", "text", "kind", "retryable"),
    [
        (403, "AccessDeniedException", f"no access to {PLANTED}", "denied", False),
        (403, "AccessDeniedException", f"{NO_POLICY}because no identity-based policy allows it", "denied", False),
        (
            403,
            "AccessDeniedException",
            f"{NO_POLICY}with an explicit deny in a service control policy",
            "denied",
            False,
        ),
        (
            403,
            "AccessDeniedException",
            "You don't have access to the model with the specified model ID.",
            "no access",
            False,
        ),
        (
            403,
            "AccessDeniedException",
            "Your account is not authorized to invoke this API operation.",
            "no access",
            False,
        ),
        (403, "AccessDeniedException", NO_SUBSCRIPTION, "no access", False),
        (400, "ValidationException", "Operation not allowed", "no access", False),
        (404, "ResourceNotFoundException", NO_FORM, "no access", False),
        (404, "ResourceNotFoundException", LEGACY, "ended", False),
        (403, "UnrecognizedClientException", PLANTED, "credentials", False),
        (403, "ExpiredTokenException", PLANTED, "credentials", False),
        (400, "ValidationException", "The provided model identifier is invalid.", "unknown model", False),
        (400, "ValidationException", ON_DEMAND, "profile", False),
        (400, "ValidationException", f"the text {PLANTED} is too long", "invalid", False),
        (404, "ResourceNotFoundException", "This model version has reached the end of its life.", "ended", False),
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


def test_every_kind_is_counted_by_its_name() -> None:
    assert MESSAGES.keys() <= set(KINDS["llm"])


async def question(models: Models, **changes: object) -> str:
    """What the question of a deploy's end finds."""
    return await asking.ask(replace(Settings.from_environment(Stage(Path(), models=models).environment), **changes))  # type: ignore[arg-type]


async def test_the_question_is_asked_as_a_call_asks_and_for_one_token(models: Models) -> None:
    assert await question(models, bedrock_temperature=0.5) == ""
    (prompt,) = models.prompts
    assert prompt["inferenceConfig"] == {"maxTokens": 1, "temperature": 0.5}
    assert [message["role"] for message in prompt["messages"]] == ["user"]
    assert prompt["system"]


@pytest.mark.parametrize(
    ("status", "code", "text", "kind"),
    [
        (403, "AccessDeniedException", NO_POLICY, "denied"),
        (403, "AccessDeniedException", "You don't have access to the model with the specified model ID.", "no access"),
        (404, "ResourceNotFoundException", "This model version has reached the end of its life.", "ended"),
        (404, "ResourceNotFoundException", LEGACY, "ended"),
        (400, "ValidationException", "The provided model identifier is invalid.", "unknown model"),
        (400, "ValidationException", ON_DEMAND, "profile"),
        (403, "ExpiredTokenException", PLANTED, "credentials"),
        (429, "ThrottlingException", PLANTED, "throttled"),
    ],
)
async def test_the_question_names_what_is_wrong(models: Models, status: int, code: str, text: str, kind: str) -> None:
    models.bedrock_instead = refusal(status, code, text)
    assert await question(models) == kind
    assert len(models.prompts) == 1


async def test_the_question_needs_somebody_there(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await question(models, bedrock_url=f"http://127.0.0.1:{free_port()}") == "unreachable"
    models.bedrock_instead = breaking_off(event("throttlingException", {"message": PLANTED}, "exception"))
    assert await question(models) == "throttled"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert await question(models) == "credentials"


async def test_the_question_ends_when_bedrock_says_nothing(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "SECONDS", 0.2)
    hung = asyncio.Event()

    async def silence(_request: web.Request) -> web.Response:
        await hung.wait()
        return web.Response()

    models.bedrock_instead = silence
    assert await question(models) == "timeout"
    hung.set()


@pytest.mark.parametrize(("instead", "status", "kind"), [(None, 0, ""), (NO_POLICY, 1, "denied")])
async def test_the_question_is_a_command_that_quotes_nothing(
    models: Models, instead: str | None, status: int, kind: str
) -> None:
    models.bedrock_instead = refusal(403, "AccessDeniedException", instead) if instead else None
    command = (sys.executable, "-m", "voice_agent", "bedrock")
    asked = await asyncio.create_subprocess_exec(
        *command,
        cwd=AGENT,
        env=Stage(Path(), models=models).environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asked.communicate()
    assert (asked.returncode, json.loads(out), err) == (status, {"kind": kind}, b"")


async def test_a_model_that_is_not_there(models: Models) -> None:
    assert (await failing(models, bedrock_model_id="mistral.nobody-v1:0")).kind == "unknown model"


async def test_nobody_there(models: Models) -> None:
    error = await failing(models, bedrock_url=f"http://127.0.0.1:{free_port()}")
    assert error.kind == "unreachable"


def breaking_off(*frames: bytes) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        headers: dict[str, Any] = {
            "Content-Type": "application/vnd.amazon.eventstream",
            "x-amzn-RequestId": "1",
        }
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        for frame in frames:
            await response.write(frame)
        return response

    return handler


async def test_an_error_inside_the_stream(models: Models) -> None:
    models.bedrock_instead = breaking_off(event("throttlingException", {"message": PLANTED}, "exception"))
    assert (await failing(models)).kind == "throttled"


async def test_a_damaged_stream(models: Models) -> None:
    delta = {"contentBlockIndex": 0, "delta": {"text": PLANTED}}
    damaged = bytearray(event("contentBlockDelta", delta))
    damaged[-6] ^= 1
    models.bedrock_instead = breaking_off(bytes(damaged))
    assert (await failing(models)).kind == "failed"
