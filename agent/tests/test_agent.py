"""The agent as Docker runs it, against a real LiveKit server and over real WebRTC on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
from livekit import rtc

from caller import calling, unique
from models import answering
from stands import PLANTED, Stage, agent_track, call, until

pytestmark = pytest.mark.anyio
# two calls at once, no more
OVERRIDES = {"AGENT_MAX_SESSIONS": "2"}


def output(stage: Stage) -> str:
    assert stage.agent
    return stage.agent.output


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
            livekit, refusal = studio.livekit, "no servers available (received 1 responses)"
            await until(lambda: refusal in livekit.output, "LiveKit finds no worker for the third call")
            assert not three.remote_participants

    await studio.until_logged("process exiting")
    # LiveKit would not send the next test's call to a worker that it takes for full
    await studio.until_logged("marking as available")


async def test_speech_that_keeps_failing_ends_the_call(studio: Stage) -> None:
    error = {"message": f"cannot say {PLANTED}", "type": "BadRequestError", "code": 400}
    studio.models.misbehave = answering({"error": error})
    async with calling(studio, unique("failing")) as caller:
        await studio.until_logged("speech synthesis answered 200 with application/json")
        for number in (1, 2):
            caller.say("Where does the elephant live?")
            assert (await caller.turn(number))["error"] == "tts: not audio"
            # the greeting and two replies are lost, and it still listens
            assert caller.room.remote_participants
        caller.say("Where does the elephant live?")
        await studio.until_logged("AgentSession is closing due to unrecoverable error")


async def test_health_and_the_command_name_what_is_missing(studio: Stage) -> None:
    good = {"livekit": "ok", "whisper": "ok", "guard": "ok", "tts": "ok"}
    assert await studio.health() == (200, good)
    done = await asyncio.to_thread(studio.run, "healthcheck")
    assert (done.returncode, done.stdout) == (0, "livekit ok, whisper ok, guard ok, tts ok\n")
    for part in ("tts", "guard"):
        await studio.models.stop(part)
        await studio.until_says(part, "no answer")
        assert (await studio.health())[1] | {part: "ok"} == good
        if part == "guard":
            done = await asyncio.to_thread(studio.run, "healthcheck")
            assert done.returncode == 1
            assert "guard no answer" in done.stdout
        await studio.models.start(part)
        await studio.until_healthy()
    await studio.stop_livekit()
    await studio.until_says("livekit", "not registered")
    await studio.start_livekit()
    await studio.until_healthy()


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


async def test_waits_for_the_models_before_it_registers(stage: Stage) -> None:
    stage.overrides |= {"AGENT_SILENT_CALL_SECONDS": "2", "AGENT_DRAIN_SECONDS": "60"}
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
    # a call in which nobody speaks is ended, and not cut by a stop that it has time for
    async with call(stage, "silent") as room:
        await agent_track(room)
        agent.terminate()
        await stage.until_says("livekit", "draining")
        assert room.remote_participants
        await until(lambda: not room.remote_participants, "the agent leaves")
        assert room.isconnected()
    assert await agent.wait(20) == 0
    assert "calls still running" not in output(stage)


async def test_stops_at_once_while_it_waits(stage: Stage) -> None:
    stage.models.reserve()
    agent = await stage.start_agent()
    await stage.until_logged("waiting, before registering")
    agent.terminate()
    assert await agent.wait(20) == 0


@pytest.mark.parametrize(
    ("variables", "code", "why"),
    [
        pytest.param({"LIVEKIT_URL": "ws://127.0.0.1:9"}, 69, "LiveKit at ws://127.0.0.1:9 may be down", id="nobody"),
        pytest.param({"LIVEKIT_API_SECRET": 32 * "x"}, 69, "status=401", id="another secret"),
        pytest.param({"AGENT_LANGUAGE": "de"}, 78, "weights know English only, and AGENT_LANGUAGE", id="language"),
    ],
)
async def test_gives_up_with_an_exit_code_that_says_why(
    stage: Stage, variables: dict[str, str], code: int, why: str
) -> None:
    stage.overrides |= {"AGENT_CONNECT_RETRIES": "1", **variables}
    await stage.models.start()
    await stage.start_livekit()
    agent = await stage.start_agent()
    assert await agent.wait() == code
    assert why in output(stage)
