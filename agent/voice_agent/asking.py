"""`python -m voice_agent bedrock` asks the language model for one token, as a call would, and says how that went.

A deploy ends with it: role or keys, region, endpoint and model are the agent's own.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING

from .settings import Settings, SettingsError

if TYPE_CHECKING:
    from .llm import BedrockSession

EXIT_CONFIG = 78
# For all of it: the metadata service, the connection, the token.
SECONDS = 12.0


def main() -> int:
    """Print {"kind": ...} on one line: a kind of bedrock_errors.MESSAGES and 1, or "" and 0; 78 without settings."""
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        sys.stderr.write("".join(f"setting {problem}\n" for problem in error.problems))
        return EXIT_CONFIG
    kind = asyncio.run(ask(settings))
    sys.stdout.write(json.dumps({"kind": kind}) + "\n")
    return 1 if kind else 0


async def ask(settings: Settings) -> str:
    """What kept the model from answering; "" when it did."""
    from .bedrock_errors import explain  # noqa: PLC0415 (seconds, and only here are they needed)
    from .llm import BedrockSession  # noqa: PLC0415

    session = BedrockSession(settings.aws_region, settings.bedrock_url)
    try:
        await asyncio.wait_for(_one_token(session, settings), SECONDS)
    except Exception as error:
        return str(getattr(error, "kind", explain(error).kind))
    finally:
        await session.close()
    return ""


async def _one_token(session: BedrockSession, settings: Settings) -> None:
    async with session.create_client() as client:
        answer = await client.converse_stream(
            modelId=settings.bedrock_model_id,
            # a call has a system prompt, which not every model takes
            system=[{"text": "Answer with one word."}],
            messages=[{"role": "user", "content": [{"text": "Hello"}]}],
            inferenceConfig={"maxTokens": 1, "temperature": settings.bedrock_temperature},
        )
        async for _event in answer["stream"]:
            pass
