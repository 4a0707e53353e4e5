from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import island

# Before anything else makes threads. Everything below runs where there is no network.
ISLAND = island.enter()

import aiohttp  # noqa: E402
import pytest  # noqa: E402
from livekit.agents import APIConnectOptions  # noqa: E402
from voice_agent import engines, patience  # noqa: E402

from models import Models  # noqa: E402
from stands import Stage  # noqa: E402

# Nouns the callers, the model, its errors and the greeting use; no program has a reason to.
PLANTED = ("butterfly", "crocodile", "elephant", "pineapple", "saxophone", "volcano")
LOUD = Path(__file__).parent / "loud"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The framework is asyncio's; pytest's anyio plugin comes with its dependencies."""
    return "asyncio"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """The agent's client for the services that a test starts."""
    async with engines.client() as session:
        yield session


@pytest.fixture
async def models(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Models]:
    """The services around the agent, and AWS's variables, for a test that is the agent's process itself."""
    built = Models()
    built.behave()
    await built.start()
    for name, value in Stage(Path(), models=built).environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    yield built
    await built.stop()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> Iterator[APIConnectOptions]:
    """A tenth of the agent's patience; what the framework makes of it; the test may take no longer than one leg.

    The four seconds more are a busy machine's.
    """
    began = time.monotonic()
    for name in ("LEG", "ATTEMPT"):
        monkeypatch.setattr(patience, name, getattr(patience, name) / 10)
    yield APIConnectOptions(max_retry=patience.RETRIES, timeout=patience.ATTEMPT)
    assert time.monotonic() - began < patience.LEG + 4


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """An empty stage whose processes end with the test."""
    built = Stage(tmp_path)
    built.models.behave()
    yield built
    await built.close()


@pytest.fixture(scope="module")
async def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """A healthy agent for a whole module (whose OVERRIDES it gets), as talkative as it can be made."""
    built = Stage(tmp_path_factory.mktemp("studio"))
    own = built.directory / "own"
    own.mkdir()
    built.overrides = {
        "AGENT_MAX_SESSIONS": "4",
        "GUARD_DEADLINE_MS": "5000",
        "LIVEKIT_LOG_LEVEL": "DEBUG",
        "PYTHONPATH": str(LOUD),
        "TMPDIR": str(own),
        "HOME": str(own),
        **getattr(request.module, "OVERRIDES", {}),
    }
    await built.models.start()
    await built.start_livekit()
    await built.start_agent()
    await built.until_healthy()
    yield built
    seen = f"{await built.metrics()} {await built.health()}"
    called = ISLAND.called() if ISLAND else set()
    assert built.agent
    built.agent.terminate()
    await built.agent.wait()
    await built.close()
    without_a_trace(built.agent.output, seen, own)
    assert called <= {island.NOBODY}
    assert "OUTSIDE" not in built.agent.output


def without_a_trace(output: str, seen: str, directory: Path) -> None:
    """Nothing that was said is in a log, a metric, the health page or a file."""
    files = "".join(path.read_bytes().decode(errors="replace") for path in directory.rglob("*") if path.is_file())
    assert "DEBUG" not in output
    assert "worker" in output
    for word in PLANTED:
        for where, text in (("logs", output), ("metrics or health", seen), ("files", files)):
            assert word not in text.lower(), f"{word} is in the {where}"


@pytest.fixture
def studio(running: Stage) -> Stage:
    """The agent of the module, with models that behave."""
    running.models.behave()
    return running
