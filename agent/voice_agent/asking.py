"""`python -m voice_agent bedrock` asks the language model for one token, as a call would, and says how that went.

A deploy ends with it: role or keys, region, endpoint and model are the agent's own.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from .settings import Settings

# For all of it: the metadata service, the connection, the token.
SECONDS = 12.0


def main() -> int:
    """Print {"kind": ...} on one line: a kind of bedrock_errors.MESSAGES and 1, or "" and 0."""
    kind = asyncio.run(ask(Settings(os.environ)))
    sys.stdout.write(json.dumps({"kind": kind}) + "\n")
    return 1 if kind else 0


async def ask(settings: Settings) -> str:
    """What kept the model from answering; "" when it did."""
    from .bedrock_errors import explain  # noqa: PLC0415 (seconds, and only here are they needed)
    from .llm import BedrockSession  # noqa: PLC0415

    session = BedrockSession(settings.aws_region, settings.bedrock_url)
    try:
        async with asyncio.timeout(SECONDS):
            answer = await session.converse_stream(
                modelId=settings.bedrock_model_id,
                # a call has a system prompt, which not every model takes
                system=[{"text": "Answer with one word."}],
                messages=[{"role": "user", "content": [{"text": "Hello"}]}],
                inferenceConfig={"maxTokens": 1, "temperature": settings.bedrock_temperature},
            )
            async for _event in answer["stream"]:
                pass
    except Exception as error:
        return explain(error).kind
    finally:
        await session.close()
    return ""
