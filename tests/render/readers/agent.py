"""The agent's environment as its container gets it from Compose, read by the agent's own Settings class."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from tests.render.matrix import Case
from tests.render.readers import compose
from voicestack.gpu.speed import sessions
from voicestack.paths import ROOT

# Where the weights lie is compared with the mount; how often to try LiveKit is the agent's own default.
_APART = ("whisper_model", "connect_retries")
_WEIGHTS = ("config.json", "model.bin", "tokenizer.json", "vocabulary.json")


def settings_class() -> Any:
    """The agent's Settings: it needs nothing that only the agent's own virtual environment has."""
    if str(ROOT / "agent") not in sys.path:
        sys.path.append(str(ROOT / "agent"))
    return importlib.import_module("voice_agent.settings").Settings


def check(case: Case, home: Path, program: Path) -> None:
    """Raise AssertionError unless the agent reads the settings that were written."""
    compose.write(case, home)
    service = compose.normalised(home, program)["services"]["voice-agent"]
    environment = {name: compose.literal(value or "") for name, value in service["environment"].items()}
    # The weights' mount: the agent looks whether the directory is what it is told.
    place = home / "weights"
    place.mkdir(exist_ok=True)
    for name in _WEIGHTS:
        (place / name).touch()
    assert environment["FASTER_WHISPER_MODEL"] in {mount["target"] for mount in service["volumes"]}
    environment["FASTER_WHISPER_MODEL"] = str(place)
    try:
        read = settings_class()(environment)
    except Exception as problem:
        raise AssertionError(f"the agent refuses its environment: {problem}") from problem
    assert {name: value for name, value in vars(read).items() if name not in _APART} == _wanted(case)


def _wanted(case: Case) -> dict[str, Any]:
    key, secret = compose.KEY
    memory = case.settings.plan
    settings, agent, guard = case.settings, case.settings.agent, case.settings.guard
    return {
        "livekit_url": f"ws://127.0.0.1:{settings.livekit.port}",
        "livekit_api_key": key,
        "livekit_api_secret": secret,
        "tts_url": f"http://127.0.0.1:{settings.voxtral.port}",
        "tts_voice": settings.voxtral.voice,
        "tts_model": settings.voxtral.model,
        "guard_url": guard.url,
        "guard_model": guard.model,
        "guard_categories": frozenset(guard.categories or [f"S{number}" for number in range(1, 14)]),
        "guard_deadline_ms": guard.deadline_ms,
        "guard_input": guard.judges_callers,
        "guard_refusal": guard.refusal,
        "whisper_device": memory.whisper_device,
        "whisper_threads": agent.whisper_threads,
        "language": settings.site.language,
        "greeting": agent.greeting,
        "instructions": agent.instructions,
        "apology": agent.apology,
        "publish_transcripts": agent.publish_transcripts,
        "agent_name": agent.name,
        "max_sessions": sessions(memory),
        "drain_seconds": agent.drain_s,
        "silent_call_seconds": agent.silent_call_s,
        "health_port": agent.health_port,
        "aws_region": settings.site.region,
        "bedrock_model_id": agent.bedrock_model,
        "bedrock_url": agent.bedrock_url,
        "bedrock_max_tokens": agent.bedrock_max_tokens,
        "bedrock_temperature": agent.bedrock_temperature,
    }
