"""What the tests put around the agent: a real LiveKit server, its own process, a caller."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.test_utils import unused_port
from livekit import api, rtc

from models import ACCESS_KEY, MODEL, REGION, Models
from speech import WEIGHTS

if TYPE_CHECKING:
    from voice_agent.settings import Settings

AGENT = Path(__file__).resolve().parents[1]
SERVER = Path(os.environ.get("LIVEKIT_SERVER", "/var/cache/voice-lab/bin/livekit-server-v1.13.5"))
if not SERVER.exists():
    raise FileNotFoundError(f"no LiveKit server at {SERVER}: `.venv/bin/python -m tests.lab livekit` builds it")
KEY, SECRET = "devkey", "a-secret-of-at-least-thirty-two-characters"
# A word that must never appear in a log.
PLANTED = "pineapple"
# Long enough that Whisper tiny may miss two of its words, and short: every call waits for its end.
GREETING = "Good morning, this is the elephant speaking."
REFUSAL = "I will not talk about this topic."
APOLOGY = "Please forgive me and try again later."
# for what takes seconds at most on an idle machine; this one may be busy
PATIENCE = 40.0


def shipped(setting: str) -> Any:
    """What the deploys give the agent where nobody says otherwise."""
    return runpy.run_path(str(AGENT.parent / "group_data" / "all.py"))[setting]


async def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Wait for a truthy answer of `condition` (which may be one to await), asking ten times a second, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.1)


class Process:
    """A child process whose output is kept in a file, and that is ended with the test."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self.pid = process.pid

    @classmethod
    async def start(
        cls, *command: str | Path, cwd: Path, log: Path, environment: Mapping[str, str] | None = None
    ) -> Process:
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=cwd,
                env=environment,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(process, log)

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def terminate(self) -> None:
        if self._process.returncode is None:
            self._process.terminate()

    async def wait(self, seconds: float = PATIENCE) -> int:
        return await asyncio.wait_for(self._process.wait(), seconds)

    async def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        await self._process.wait()


@dataclass
class Stage:
    """One test's world."""

    directory: Path
    models: Models = field(default_factory=Models)
    port: int = field(default_factory=unused_port)
    health_port: int = field(default_factory=unused_port)
    overrides: dict[str, str] = field(default_factory=dict)
    livekit: Process | None = None
    agent: Process | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The contract with the compose template, nothing inherited."""
        return {
            "PATH": os.environ["PATH"],
            "PYTHONUNBUFFERED": "1",
            "HF_HUB_OFFLINE": "1",
            "LIVEKIT_URL": self.url,
            "LIVEKIT_API_KEY": KEY,
            "LIVEKIT_API_SECRET": SECRET,
            "TTS_URL": self.models.tts_url,
            "TTS_VOICE": "neutral_female",
            "GUARD_URL": self.models.guard_url,
            "GUARD_REFUSAL": REFUSAL,
            # generous, so that a busy machine is no verdict
            "GUARD_DEADLINE_MS": "9000",
            "FASTER_WHISPER_MODEL": str(WEIGHTS),
            "WHISPER_THREADS": "1",
            "AGENT_LANGUAGE": "en",
            "AGENT_GREETING": GREETING,
            "AGENT_INSTRUCTIONS": "Answer in one sentence.",
            "AGENT_APOLOGY": APOLOGY,
            "AGENT_PUBLISH_TRANSCRIPTS": "true",
            "AGENT_HEALTH_PORT": str(self.health_port),
            "AGENT_NAME": "",
            "AGENT_MAX_SESSIONS": "2",
            "AGENT_DRAIN_SECONDS": "2",
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": "an-access-key-for-tests-only",
            "AWS_EC2_METADATA_DISABLED": "true",
            "BEDROCK_MODEL_ID": MODEL,
            "BEDROCK_URL": self.models.bedrock_url,
            **self.overrides,
        }

    def settings(self, **changes: str) -> Settings:
        """The same as the agent reads it."""
        from voice_agent.settings import Settings  # noqa: PLC0415 (measure.py needs no agent but the process)

        return Settings({**self.environment, **changes})

    def run(self, *words: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """One of the agent's other commands."""
        return subprocess.run(
            [sys.executable, "-m", "voice_agent", *words],
            cwd=AGENT,
            env={**self.environment, **changes},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    async def start_livekit(self) -> None:
        config = self.directory / "livekit.yaml"
        udp, tcp = unused_port(), unused_port()
        config.write_text(
            json.dumps(
                {
                    "port": self.port,
                    "bind_addresses": ["127.0.0.1"],
                    "keys": {KEY: SECRET},
                    "rtc": {
                        "udp_port": udp,
                        "tcp_port": tcp,
                        "use_external_ip": False,
                        "node_ip": "127.0.0.1",
                        "enable_loopback_candidate": True,
                        # its default is others' servers, and clients would ask them
                        "stun_servers": [f"127.0.0.1:{udp}"],
                    },
                }
            )
        )

        async def answers() -> bool:
            return (await get(f"http://127.0.0.1:{self.port}/"))[0] == 200

        log = self.directory / "livekit.log"
        self.livekit = await Process.start(SERVER, "--config", config, cwd=self.directory, log=log)
        await until(answers, "LiveKit answers")

    async def stop_livekit(self) -> None:
        assert self.livekit
        await self.livekit.stop()

    async def start_agent(self) -> Process:
        command, log = (sys.executable, "-m", "voice_agent"), self.directory / "agent.log"
        self.agent = await Process.start(*command, cwd=AGENT, log=log, environment=self.environment)
        return self.agent

    async def health(self) -> tuple[int, dict[str, str]]:
        """Status and parts; (0, {}) while nothing listens."""
        status, text = await get(f"http://127.0.0.1:{self.health_port}/")
        return status, json.loads(text)["parts"] if status else {}

    async def metrics(self) -> str:
        return (await get(f"http://127.0.0.1:{self.health_port}/metrics"))[1]

    async def until_healthy(self) -> None:
        async def healthy() -> bool:
            return (await self.health())[0] == 200

        await until(healthy, "the agent is healthy")

    async def until_says(self, part: str, state: str, seconds: float = PATIENCE) -> None:
        """Wait for a 503 whose body names `part` with a state that contains `state`."""

        async def said() -> bool:
            status, parts = await self.health()
            return status == 503 and state in parts[part]

        await until(said, f"health says {part}: {state}", seconds)

    async def until_logged(self, text: str) -> None:
        agent = self.agent
        assert agent
        await until(lambda: text in agent.output, f"the agent logs {text!r}")

    async def close(self) -> None:
        for process in (self.agent, self.livekit):
            if process:
                await process.stop()
        await self.models.stop()
        if self.agent:
            # pytest shows it when the test failed
            sys.stdout.write(self.agent.output)


async def get(url: str) -> tuple[int, str]:
    """Status and text of an answer; (0, "") while nothing listens."""
    try:
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            return response.status, await response.text()
    except aiohttp.ClientError:
        return 0, ""


@contextlib.asynccontextmanager
async def call(stage: Stage, room_name: str) -> AsyncIterator[rtc.Room]:
    """A caller in a room, as a browser would be."""
    token = (
        api.AccessToken(KEY, SECRET)
        .with_identity(f"caller-{room_name}")
        .with_grants(api.VideoGrants(room_join=True, room=room_name))
        .to_jwt()
    )
    room = rtc.Room()
    try:
        await room.connect(stage.url, token)
        yield room
    finally:
        await room.disconnect()


async def agent_track(room: rtc.Room, seconds: float = PATIENCE) -> rtc.Track:
    """The agent's audio, once subscribed to."""

    def track() -> rtc.Track | None:
        for participant in room.remote_participants.values():
            for publication in participant.track_publications.values():
                if publication.track and publication.kind == rtc.TrackKind.KIND_AUDIO:
                    return publication.track
        return None

    found: rtc.Track = await until(track, "the agent's audio track", seconds)
    return found
