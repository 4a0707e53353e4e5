"""The agent's life: load Whisper, wait for the models, register, serve, drain; exit codes that let Docker restart it.

`depends_on` orders a first start only. After a reboot Docker starts every container at once, so the agent
itself waits until the services it needs answer, and says which one it waits for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys

from . import backstage
from .health import Health, failing, serve
from .logs import name_exception
from .metrics import Metrics
from .settings import Settings
from .whisper import Whisper, WhisperError
from .worker import JOB_CLOSE_SECONDS, VoiceWorker

POLL_SECONDS = 1.0
REMIND_SECONDS = 30.0
# What closing may take after the drain: a job's acknowledgement and its exit each get JOB_CLOSE_SECONDS.
CLOSE_SECONDS = 2 * JOB_CLOSE_SECONDS + 2

logger = logging.getLogger("voice_agent")


async def run(settings: Settings) -> int:
    """Serve until told to stop (0), LiveKit stays unreachable (69) or Whisper cannot be loaded (78)."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    worker = VoiceWorker(settings)
    whisper = Whisper(settings.whisper_model, settings.whisper_device, settings.whisper_threads, settings.language)
    metrics = Metrics(worker.sessions)
    services = {"guard": settings.guard_url, "tts": settings.tts_url}
    health = Health(services, worker.registration_problem, whisper.problem)
    async with serve(health, metrics, settings.health_port), backstage.serve(whisper, metrics):
        try:
            await asyncio.gather(whisper.load(), _until_models_answer(health, stop))
            return os.EX_OK if stop.is_set() else await _work(worker, settings, stop)
        except WhisperError as error:
            logger.error("Whisper cannot be loaded: %s", error)  # noqa: TRY400 (the text is the point)
            return os.EX_CONFIG
        finally:
            whisper.close()


async def _until_models_answer(health: Health, stop: asyncio.Event) -> None:
    """Return once every model is ok, or `stop` is set; name those waited for."""
    clock = asyncio.get_running_loop().time
    said, said_at = "", 0.0
    while not stop.is_set() and (waiting := failing(await health.models())):
        if waiting != said or clock() - said_at >= REMIND_SECONDS:
            logger.info("waiting, before registering, for %s", waiting)
            said, said_at = waiting, clock()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(stop.wait(), POLL_SECONDS)


async def _work(worker: VoiceWorker, settings: Settings, stop: asyncio.Event) -> int:
    serving = asyncio.create_task(worker.run())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not serving.done():
        await _drain(worker, settings.drain_seconds)
        await _close(worker, os.EX_OK)
        return os.EX_OK
    error = serving.exception()
    logger.error(
        "the worker ended by itself (%s); LiveKit at %s may be down, or its key or secret another one",
        name_exception(error) if error else "no error",
        settings.livekit_url,
    )
    # The framework would exit with 0 here, and `restart: on-failure` would leave it dead.
    await _close(worker, os.EX_UNAVAILABLE)
    return os.EX_UNAVAILABLE


async def _drain(worker: VoiceWorker, seconds: int) -> None:
    """Take no new call and let the running ones end."""
    try:
        # The framework's own limit starts only when the worker has started up, hence the outer one.
        await asyncio.wait_for(worker.drain(timeout=seconds), seconds + 1)
    except asyncio.TimeoutError:
        logger.warning("calls still running after %s s of draining are ended", seconds)


async def _close(worker: VoiceWorker, code: int) -> None:
    try:
        await asyncio.wait_for(worker.aclose(), CLOSE_SECONDS)
    except asyncio.TimeoutError:
        # The framework's threads wait for their processes and would keep the interpreter alive.
        logger.warning("job processes do not end; leaving them behind")
        sys.stdout.flush()
        os._exit(code)
