"""Mistral on Bedrock through livekit-plugins-aws, in one region, with the instance's role.

The plugin makes a client for every request and lets botocore choose the rest: us-east-1 without a region, keys before
the role, a role through STS, endpoints from variables. So it gets a session here that hands it one client, made with
everything said. It also keeps the connection warm, which saves a TLS handshake each turn.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from typing import Any

from aiobotocore.config import AioConfig  # type: ignore[import-not-found,import-untyped,unused-ignore]
from aiobotocore.credentials import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
    AioCredentialResolver,
    AioEnvProvider,
    AioInstanceMetadataProvider,
)
from aiobotocore.session import AioSession  # type: ignore[import-not-found,import-untyped,unused-ignore]
from aiobotocore.utils import AioInstanceMetadataFetcher  # type: ignore[import-not-found,import-untyped,unused-ignore]
from botocore.exceptions import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
    MetadataRetrievalError,
    NoCredentialsError,
)
from livekit.plugins import aws

from . import patience
from .bedrock_errors import explain
from .settings import Settings

# One attempt a second long: on EC2 the metadata service answers in milliseconds, elsewhere nobody does.
METADATA_SECONDS = 1
CONNECT_SECONDS = 3

logger = logging.getLogger("voice_agent.llm")


def _service_description() -> Any:
    """Botocore's loader with Bedrock's files read: 0.2 s that would otherwise stop the audio of a call's greeting.

    Read when this module is imported, which is once, in the process that job processes are forked from.
    """
    session = AioSession()
    session.warm_up_loader_caches("bedrock-runtime")
    return session.get_component("data_loader")


_LOADER = _service_description()


def bedrock(settings: Settings, session: BedrockSession) -> aws.LLM:
    """The framework's language model."""
    return aws.LLM(
        model=settings.bedrock_model_id,
        region=settings.aws_region,
        temperature=settings.bedrock_temperature,
        max_output_tokens=settings.bedrock_max_tokens,
        session=session,
    )


class BedrockSession(AioSession):  # type: ignore[misc,unused-ignore]
    """A botocore session that knows one client: bedrock-runtime in `region`, at `url` when there is one.

    To the plugin it is that client, too: its errors are ours, which quote nothing.
    """

    def __init__(self, region: str, url: str) -> None:
        super().__init__()
        self.register_component("data_loader", _LOADER)
        self._region = region
        self._url = url or None
        self._opening = asyncio.Lock()
        self._opened: Any = None
        self._exit = AsyncExitStack()
        self.register_component("credential_provider", AioCredentialResolver(providers=self._providers()))

    def create_client(self, *_: Any, **__: Any) -> AbstractAsyncContextManager[BedrockSession]:
        """What the plugin calls for each request; the client stays open when it is done."""
        return nullcontext(self)

    async def converse_stream(self, **request: Any) -> dict[str, Any]:
        """Bedrock's ConverseStream."""
        try:
            client = await self.client()
            response: dict[str, Any] = await client.converse_stream(**request)
        except Exception as error:
            raise explain(error) from None
        return {**response, "stream": _events(response["stream"])}

    async def client(self) -> Any:
        """The one client, made at the first call that finds credentials."""
        async with self._opening:
            if self._opened is None:
                if await self.get_credentials() is None:
                    raise NoCredentialsError
                self._opened = await self._exit.enter_async_context(self._make())
            return self._opened

    async def warm_up(self) -> None:
        """Find credentials before the first turn needs them."""
        try:
            await self.client()
        except Exception as error:
            logger.warning("%s", explain(error).message)

    async def close(self) -> None:
        """Close the connections."""
        await self._exit.aclose()

    def _make(self) -> Any:
        config = AioConfig(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=patience.ATTEMPT,
            # the framework retries; botocore's own retries would come on top, in silence
            retries={"mode": "standard", "total_max_attempts": 1},
            ignore_configured_endpoint_urls=True,
            proxies={},
        )
        return super().create_client("bedrock-runtime", region_name=self._region, endpoint_url=self._url, config=config)

    def _providers(self) -> list[Any]:
        """The instance's role, then keys from the environment; nothing that would ask STS or SSO."""
        fetcher = AioInstanceMetadataFetcher(
            timeout=METADATA_SECONDS,
            num_attempts=1,
            user_agent=self.user_agent(),
            config={
                "ec2_metadata_service_endpoint": self.get_config_variable("ec2_metadata_service_endpoint"),
                "ec2_metadata_v1_disabled": True,
            },
        )
        return [_InstanceRole(iam_role_fetcher=fetcher), AioEnvProvider()]


class _InstanceRole(AioInstanceMetadataProvider):  # type: ignore[misc,unused-ignore]
    """The role, or None where there is no metadata service: without its version 1, botocore makes that an error."""

    async def load(self) -> Any:
        try:
            return await super().load()
        except MetadataRetrievalError:
            return None


async def _events(stream: Any) -> AsyncIterator[Any]:
    """The events of a stream; an interrupted reply closes its request."""
    begun = False
    try:
        async for event in stream:
            begun = begun or "contentBlockDelta" in event
            yield event
    except Exception as error:
        explained = explain(error)
        # asked again, the model would begin the reply anew, after what was said of it
        explained.retryable = explained.retryable and not begun
        raise explained from None
    finally:
        stream.close()
