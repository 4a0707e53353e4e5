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

from caller import calling, unique
from stands import (
    AGENT,
    PLANTED,
    Stage,
    agent_track,
    call,
    until,
)

pytestmark = pytest.mark.anyio
# two calls at once, no more
OVERRIDES = {"AGENT_MAX_SESSIONS": "2"}


def output(stage: Stage) -> str:
    assert stage.agent
    return stage.agent.output


async def test_the_process_ends_its_call_when_the_caller_leaves(studio: Stage) -> None:
    async with call(studio, "leaving") as room:
        await agent_track(room)
    await studio.until_logged("process exiting")


async def test_sessions_are_counted(studio: Stage) -> None:
    """Two may be served, callers in the same moment included; the third finds no agent."""
    async with contextlib.AsyncExitStack() as calls:

        async def caller(name: str) -> rtc.Room:
            return await calls.enter_async_context(call(studio, name))

        for room in await asyncio.gather(caller("one"), caller("two")):
            await agent_track(room)
        await studio.until_logged("worker is at full capacity")
        async with call(studio, "three") as three:
            assert studio.livekit
            livekit = studio.livekit

            async def refused() -> bool:
                return "no servers available (received 1 responses)" in livekit.output

            await until(refused, "LiveKit finds no worker for the third call")
            assert not three.remote_participants

    # LiveKit would not send the next test's call to a worker that it takes for full
    await studio.until_logged("marking as available")


async def test_speech_that_keeps_failing_ends_the_call(studio: Stage) -> None:
    async def echo(_request: web.Request) -> web.Response:
        body = {"error": {"message": f"cannot say {PLANTED}", "type": "BadRequestError", "code": 400}}
        return web.json_response(body)

    studio.models.misbehave = echo
    async with calling(studio, unique("failing")) as caller:
        await studio.until_logged("speech synthesis answered 200 with application/json")
        for number in (1, 2):
            caller.say("Where does the elephant live?")
            assert (await caller.turn(number))["error"] == "tts: not audio"
            # the greeting and two replies are lost, and it still listens
            assert caller.room.remote_participants
        caller.say("Where does the elephant live?")
        await studio.until_logged("AgentSession is closing due to unrecoverable error")


async def test_health_names_what_is_missing(studio: Stage) -> None:
    await studio.models.stop("tts")
    await studio.until_says("tts", "no answer")
    parts = {"livekit": "ok", "whisper": "ok", "guard": "ok", "tts": ""}
    assert (await studio.health())[1] | {"tts": ""} == parts
    await studio.models.start("tts")
    await studio.until_healthy()

    await studio.models.stop("guard")
    await studio.until_says("guard", "no answer")
    await studio.models.start("guard")
    await studio.until_healthy()

    await studio.stop_livekit()
    await studio.until_says("livekit", "not registered")
    await studio.start_livekit()
    await studio.until_healthy()


async def test_the_healthcheck_command_agrees(studio: Stage) -> None:
    def ask() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "voice_agent", "healthcheck"]
        return subprocess.run(command, cwd=AGENT, env=studio.environment, capture_output=True, text=True, check=False)

    good = await asyncio.to_thread(ask)
    assert (good.returncode, good.stdout) == (0, "livekit ok, whisper ok, guard ok, tts ok\n")
    await studio.models.stop("guard")
    bad = await asyncio.to_thread(ask)
    await studio.models.start("guard")
    assert bad.returncode == 1
    assert "guard no answer" in bad.stdout


async def test_waits_for_the_models_before_it_registers(stage: Stage) -> None:
    stage.models.reserve()
    await stage.start_livekit()
    agent = await stage.start_agent()
    await stage.until_logged("guard: no answer (ClientConnectorError); tts: no answer")
    await stage.until_says("livekit", "not registered")
    await stage.models.start("tts")
    await stage.until_logged("waiting, before registering, for guard: no answer")
    assert "registered worker" not in output(stage)
    await stage.models.start("guard")
    await stage.until_healthy()
    # and without calls it stops at once
    agent.terminate()
    assert await agent.wait(20) == 0


async def test_stops_at_once_while_it_waits(stage: Stage) -> None:
    stage.models.reserve()
    agent = await stage.start_agent()
    await stage.until_logged("waiting, before registering")
    agent.terminate()
    assert await agent.wait(20) == 0


async def test_a_running_call_gets_the_drain_time_and_no_more(studio: Stage) -> None:
    assert studio.agent
    async with call(studio, "draining") as room:
        await agent_track(room)
        studio.agent.terminate()
        started = time.monotonic()
        await studio.until_says("livekit", "draining", 2)
        assert await studio.agent.wait(12) == 0
        assert time.monotonic() - started >= 2
    assert "calls still running after 2 s" in output(studio)


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


async def test_a_call_in_which_nobody_speaks_is_ended(stage: Stage) -> None:
    stage.overrides["AGENT_SILENT_CALL_SECONDS"] = "1"
    await stage.models.start()
    await stage.start_livekit()
    await stage.start_agent()
    await stage.until_healthy()
    async with call(stage, "silent") as room:
        await agent_track(room)

        async def left() -> bool:
            return not room.remote_participants

        await until(left, "the agent leaves")
        assert room.isconnected()


async def test_gives_up_with_an_exit_code_that_restarts_it(stage: Stage) -> None:
    stage.overrides["AGENT_CONNECT_RETRIES"] = "1"
    await stage.models.start()
    agent = await stage.start_agent()
    await stage.until_says("livekit", "not registered")
    assert await agent.wait() == 69
    assert "LiveKit at ws://127.0.0.1" in output(stage)
    # and so with a secret that is not LiveKit's
    stage.overrides["LIVEKIT_API_SECRET"] = "another-secret-of-thirty-two-characters"
    await stage.start_livekit()
    agent = await stage.start_agent()
    assert await agent.wait() == 69
    assert "status=401" in output(stage)


async def test_weights_of_another_language_are_refused(stage: Stage) -> None:
    stage.overrides["AGENT_LANGUAGE"] = "de"
    await stage.models.start()
    agent = await stage.start_agent()
    assert await agent.wait() == 78
    assert "the weights know English only, and AGENT_LANGUAGE is de" in output(stage)
