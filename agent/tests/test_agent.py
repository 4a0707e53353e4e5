"""The agent as Docker runs it, against a real LiveKit server and over real WebRTC on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time

import pytest
from aiohttp import web
from livekit import rtc

from stands import (
    AGENT,
    PLANTED,
    Stage,
    agent_track,
    call,
    hear,
    until,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def running(stage: Stage) -> Stage:
    """A healthy agent with everything it needs."""
    await stage.models.start()
    await stage.start_livekit()
    await stage.start_agent()
    await stage.until_healthy()
    return stage


def output(stage: Stage) -> str:
    assert stage.agent
    return stage.agent.output


async def test_a_caller_hears_the_greeting(running: Stage) -> None:
    async with call(running, "greeting") as room:
        track = await agent_track(room)
        # the tone lasts 2 s; its last frames may fall below the threshold when the codec fades them
        heard, loudness = await hear(track, running.models.speech_seconds - 0.2)
    assert heard >= running.models.speech_seconds - 0.2
    assert loudness > 1000
    assert [request["input"] for request in running.models.requests] == [running.environment["AGENT_GREETING"]]
    assert PLANTED not in output(running)


async def test_the_process_ends_its_call_when_the_caller_leaves(running: Stage) -> None:
    async with call(running, "leaving") as room:
        await agent_track(room)
    await running.until_logged("process exiting")


async def test_sessions_are_counted(running: Stage) -> None:
    """Two may be served, callers in the same moment included; the third finds no agent."""
    async with contextlib.AsyncExitStack() as calls:

        async def caller(name: str) -> rtc.Room:
            return await calls.enter_async_context(call(running, name))

        for room in await asyncio.gather(caller("one"), caller("two")):
            await agent_track(room)
        await running.until_logged("worker is at full capacity")
        async with call(running, "three") as three:
            assert running.livekit
            livekit = running.livekit

            async def refused() -> bool:
                return "no servers available (received 1 responses)" in livekit.output

            await until(refused, "LiveKit finds no worker for the third call")
            assert not three.remote_participants


async def test_speech_failure_ends_the_call_and_says_nothing_of_it(running: Stage) -> None:
    async def echo(_request: web.Request) -> web.Response:
        body = {"error": {"message": f"cannot say {PLANTED}", "type": "BadRequestError", "code": 400}}
        return web.json_response(body)

    running.models.misbehave = echo
    async with call(running, "failing"):
        await running.until_logged("speech synthesis answered 200 with application/json")
        await running.until_logged("speech failed")
    assert PLANTED not in output(running)


async def test_health_names_what_is_missing(running: Stage) -> None:
    await running.models.stop("tts")
    await running.until_says("tts", "no answer")
    assert (await running.health())[1] | {"tts": ""} == {"livekit": "ok", "tts": "", "guard": "ok"}
    await running.models.start("tts")
    await running.until_healthy()

    await running.models.stop("guard")
    await running.until_says("guard", "no answer")
    await running.models.start("guard")
    await running.until_healthy()

    await running.stop_livekit()
    await running.until_says("livekit", "not registered")
    await running.start_livekit()
    await running.until_healthy()


async def test_the_healthcheck_command_agrees(running: Stage) -> None:
    def ask() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "voice_agent", "healthcheck"]
        return subprocess.run(command, cwd=AGENT, env=running.environment, capture_output=True, text=True, check=False)

    good = await asyncio.to_thread(ask)
    assert (good.returncode, good.stdout) == (0, "livekit ok, tts ok, guard ok\n")
    await running.models.stop("guard")
    bad = await asyncio.to_thread(ask)
    assert bad.returncode == 1
    assert "guard no answer" in bad.stdout


async def test_waits_for_the_models_before_it_registers(stage: Stage) -> None:
    stage.models.reserve()
    await stage.start_livekit()
    await stage.start_agent()
    await stage.until_logged("waiting, before registering, for tts: no answer")
    await stage.until_says("livekit", "not registered")
    await stage.models.start("tts")
    await stage.until_logged("waiting, before registering, for guard: no answer")
    assert "registered worker" not in output(stage)
    await stage.models.start("guard")
    await stage.until_healthy()


async def test_stops_at_once_while_it_waits(stage: Stage) -> None:
    stage.models.reserve()
    agent = await stage.start_agent()
    await stage.until_logged("waiting, before registering")
    agent.terminate()
    assert await agent.wait(5) == 0


async def test_stops_at_once_without_calls(running: Stage) -> None:
    assert running.agent
    running.agent.terminate()
    assert await running.agent.wait(8) == 0


async def test_a_running_call_gets_the_drain_time_and_no_more(running: Stage) -> None:
    assert running.agent
    async with call(running, "draining") as room:
        await agent_track(room)
        running.agent.terminate()
        started = time.monotonic()
        await running.until_says("livekit", "draining", 2)
        assert await running.agent.wait(12) == 0
        assert time.monotonic() - started >= 2
    assert "calls still running after 2 s" in output(running)


async def test_a_call_that_ends_in_time_is_not_cut(stage: Stage) -> None:
    stage.overrides["AGENT_DRAIN_SECONDS"] = "60"
    await stage.models.start()
    await stage.start_livekit()
    agent = await stage.start_agent()
    await stage.until_healthy()
    async with call(stage, "ending") as room:
        await agent_track(room)
        agent.terminate()
        await stage.until_says("livekit", "draining")
        assert room.remote_participants
    assert await agent.wait(20) == 0
    assert "calls still running" not in output(stage)


async def test_gives_up_with_an_exit_code_that_restarts_it(stage: Stage) -> None:
    stage.overrides["AGENT_CONNECT_RETRIES"] = "1"
    await stage.models.start()
    agent = await stage.start_agent()
    await stage.until_says("livekit", "not registered")
    assert await agent.wait() == 69
    assert "LiveKit at ws://127.0.0.1" in output(stage)


async def test_a_wrong_secret_never_registers(stage: Stage) -> None:
    stage.overrides |= {
        "AGENT_CONNECT_RETRIES": "2",
        "LIVEKIT_API_SECRET": "another-secret-of-thirty-two-characters",
    }
    await stage.models.start()
    await stage.start_livekit()
    agent = await stage.start_agent()
    await stage.until_says("livekit", "not registered")
    assert await agent.wait() == 69
    assert "status=401" in output(stage)
