"""The agent's environment, read by Compose and then by the agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import readers
from tests.render import matrix
from tests.render.readers import agent

CHANGED = matrix.case(
    "every setting changed",
    livekit_port=7890,
    voxtral_port=9001,
    voxtral_voice="de_male",
    guard_placement="https://guard.example.org:8443",
    guard_categories=["S1", "S10"],
    guard_deadline_ms=900,
    guard_judges_callers=False,
    guard_refusal=matrix.WORDS,
    agent_whisper_device="cpu",
    agent_whisper_threads=2,
    site_language="en",
    agent_greeting=matrix.WORDS,
    agent_instructions=matrix.WORDS,
    agent_apology=matrix.WORDS,
    agent_publish_transcripts=False,
    agent_name="reception",
    agent_max_sessions=1,
    agent_silent_call_s=60,
    agent_drain_s=30,
    agent_health_port=8181,
    site_region="eu-west-3",
    agent_bedrock_model="mistral.mistral-large-2402-v1:0",
    agent_bedrock_url="https://vpce-1.bedrock-runtime.eu-west-3.vpce.amazonaws.com",
    agent_bedrock_max_tokens=100,
    agent_bedrock_temperature=0.7,
)
CASES = [*matrix.distinct("env/voice-agent.env"), CHANGED]


@pytest.mark.parametrize("version", ["2.26", readers.COMPOSE_VERSION])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_agent_reads_what_was_set(case: matrix.Case, version: str, tmp_path: Path) -> None:
    agent.check(case, tmp_path, readers.compose_versions()[version])
