"""What the main process does for its job processes, over a unix socket: recognise speech and keep count.

HTTP because both ends have it already: it frames, it times out, and a caller who hangs up cancels what waits for
them. The socket lies in a directory only this user can enter.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp  # type: ignore[import-not-found,unused-ignore]
from aiohttp import web  # type: ignore[import-not-found,unused-ignore]

from .logs import name_exception
from .metrics import Metrics
from .whisper import Whisper

# How job processes, which inherit the environment, find the socket.
VARIABLE = "VOICE_AGENT_BACKSTAGE"
# A minute of speech, the most that VAD hands over, is 1.9 MB.
LARGEST = 4 * 2**20

logger = logging.getLogger("voice_agent.backstage")


class BackstageError(Exception):
    """The main process did not do it; the text is its kind."""


@asynccontextmanager
async def serve(whisper: Whisper, metrics: Metrics) -> AsyncIterator[None]:
    """Listen for this process's job processes."""

    async def transcribe(request: web.Request) -> web.Response:
        pcm = await request.read()
        try:
            return web.Response(text=await whisper.transcribe(pcm))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            logger.error("speech recognition failed (%s)", name_exception(error))  # noqa: TRY400 (its text may quote)
            return web.Response(status=500)

    async def report(request: web.Request) -> web.Response:
        metrics.add(await request.json())
        return web.Response(status=204)

    app = web.Application(client_max_size=LARGEST)
    app.add_routes([web.post("/transcribe", transcribe), web.post("/report", report)])
    directory = Path(tempfile.mkdtemp(prefix="voice-agent-"))
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(directory / "socket")).start()
        os.environ[VARIABLE] = str(directory / "socket")
        yield
    finally:
        await runner.cleanup()
        shutil.rmtree(directory, ignore_errors=True)


class Backstage:
    """A job process's end."""

    def __init__(self, path: str) -> None:
        self._http = aiohttp.ClientSession("http://backstage", connector=aiohttp.UnixConnector(path))
        self._reports: set[asyncio.Task[None]] = set()

    async def transcribe(self, pcm: bytes, seconds: float) -> str:
        """The words in 16 kHz mono s16le audio."""
        try:
            limit = aiohttp.ClientTimeout(total=seconds)
            async with self._http.post("/transcribe", data=pcm, timeout=limit) as response:
                if response.status != 200:
                    raise BackstageError("failed")
                text: str = await response.text()
                return text
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError):
            raise BackstageError("unreachable") from None

    def report(self, report: Mapping[str, Any]) -> None:
        """Send one report for the metrics; nobody waits for it."""
        task = asyncio.create_task(self._report(dict(report)))
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)

    async def close(self) -> None:
        """Send what is still to be sent."""
        await asyncio.gather(*self._reports)
        await self._http.close()

    async def _report(self, report: dict[str, Any]) -> None:
        try:
            async with self._http.post("/report", json=report, timeout=aiohttp.ClientTimeout(total=5)):
                pass
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
            logger.warning("a report for the metrics was lost (%s)", name_exception(error))
