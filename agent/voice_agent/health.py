"""The truth about the agent, on a loopback port: is it registered, does it hear, do the services it needs answer?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import aiohttp  # type: ignore[import-not-found,unused-ignore]
from aiohttp import web  # type: ignore[import-not-found,unused-ignore]
from prometheus_client import CONTENT_TYPE_LATEST  # type: ignore[import-not-found,unused-ignore]

from . import engines
from .metrics import Metrics

LOOPBACK = "127.0.0.1"
OK = "ok"
# Below the compose healthcheck's own timeout, so that a hanging service is named instead of timing out the
# check.
ANSWER_SECONDS = 2.0


class Health:
    """Asks at the moment it is asked: nothing is cached, so nothing is stale."""

    def __init__(
        self,
        services: Mapping[str, str],
        registration_problem: Callable[[], str | None],
        whisper_problem: Callable[[], str | None],
    ) -> None:
        self._services = services
        self._registration_problem = registration_problem
        self._whisper_problem = whisper_problem
        self._http = engines.client(ANSWER_SECONDS)

    async def models(self) -> dict[str, str]:
        """The state of everything a call needs, services asked side by side."""
        states = await asyncio.gather(*(self._ask(url) for url in self._services.values()))
        return {"whisper": self._whisper_problem() or OK, **dict(zip(self._services, states, strict=True))}

    async def parts(self) -> dict[str, str]:
        """The state of every part; the agent is healthy when all of them are ok."""
        return {"livekit": self._registration_problem() or OK, **await self.models()}

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.close()

    async def _ask(self, url: str) -> str:
        try:
            async with self._http.get(f"{url}/health") as response:
                return OK if response.status == 200 else f"answers {response.status}"
        except asyncio.TimeoutError:
            return f"no answer within {ANSWER_SECONDS:g} s"
        except aiohttp.ClientError as error:
            return f"no answer ({type(error).__name__})"


def failing(parts: Mapping[str, str]) -> str:
    """The parts that are not ok, as one line; empty when all are."""
    return "; ".join(f"{name}: {state}" for name, state in parts.items() if state != OK)


@asynccontextmanager
async def serve(health: Health, metrics: Metrics, port: int) -> AsyncIterator[None]:
    """Answer on loopback: `GET /` with 200 when every part is ok, else 503, and which is not; `GET /metrics`."""

    async def answer(_request: web.Request) -> web.Response:
        parts = await health.parts()
        healthy = not failing(parts)
        return web.json_response({"healthy": healthy, "parts": parts}, status=200 if healthy else 503)

    async def figures(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/", answer), web.get("/metrics", figures)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, port).start()
        yield
    finally:
        await runner.cleanup()
        await health.close()
