"""Bedrock through the real plugin and the real botocore client, against a stand-in that speaks its protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from livekit.agents import APIConnectOptions
from livekit.agents.llm import ChatContext
from voice_agent.bedrock_errors import MESSAGES, BedrockError
from voice_agent.llm import BedrockSession, bedrock
from voice_agent.settings import Settings

from models import REGION, Handler, Models, event, free_port, refusal
from stands import PLANTED, Stage

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


@pytest.mark.parametrize(
    ("status", "code", "text", "kind", "retryable"),
    [
        (403, "AccessDeniedException", f"no access to {PLANTED}", "denied", False),
        (403, "UnrecognizedClientException", PLANTED, "credentials", False),
        (403, "ExpiredTokenException", PLANTED, "credentials", False),
        (400, "ValidationException", "The provided model identifier is invalid.", "unknown model", False),
        (400, "ValidationException", ON_DEMAND, "profile", False),
        (400, "ValidationException", f"the text {PLANTED} is too long", "invalid", False),
        (404, "ResourceNotFoundException", "reached the end of its life", "unknown model", False),
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
