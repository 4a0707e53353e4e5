from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stands import Stage


@pytest.fixture
def anyio_backend() -> str:
    """The framework is asyncio's; pytest's anyio plugin comes with its dependencies."""
    return "asyncio"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """An empty stage whose processes end with the test."""
    built = Stage(tmp_path)
    built.models.second_chunk.set()
    yield built
    await built.close()
