"""How the real engines end, and what of it can be seen; that the newest release starts and refuses."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from tests.engines.conftest import Start
from tests.engines.models import BREAKS
from tests.engines.servers import Engine
from tests.engines.table import VOXTRAL, ask
from voicestack.settings import omni

NEWEST = list(omni.RELEASES)[-1]
REFUSED = {
    **dict.fromkeys(("unknown voice", "no voice", "nothing to say", "no input", "unknown format"), 400),
    **{"unknown name": 404, "too many new tokens": 400, "too long": 500},
}
"""Rows of the table, and what the newest release answers them with: as 0.18.0, but for the last."""


def say(engine: Engine, text: str, timeout: float) -> int:
    """The status of a request to speak."""
    connection = engine.connect(timeout)
    body = json.dumps({"input": text, "voice": "de_female"})
    connection.request("POST", "/v1/audio/speech", body, {"Content-Type": "application/json"})
    return connection.getresponse().status


def test_a_guard_whose_core_is_killed_ends(start: Start) -> None:
    engine = start("vllm-guard")
    os.kill(engine.stages()[0], signal.SIGKILL)
    assert engine.process.wait(60) == 0


@pytest.mark.parametrize("stage", [0, 1])
def test_a_speech_engine_whose_stage_is_killed_says_that_it_is_well_and_never_speaks_again(
    start: Start, stage: int
) -> None:
    """Nothing ends it and /health is green: only who asks for speech finds out."""
    engine = start("vllm-voxtral")
    assert say(engine, "Ready.", 60) == 200
    os.kill(engine.stages()[stage], signal.SIGKILL)
    time.sleep(5)
    with pytest.raises(TimeoutError):
        say(engine, "Hello.", 10)
    assert (engine.status(), engine.process.poll()) == (200, None)


def test_a_speech_engine_with_an_error_in_a_stage_ends(start: Start) -> None:
    engine = start("vllm-voxtral")
    assert say(engine, BREAKS, 60) in {400, 503}
    assert engine.process.wait(60) == 0


def test_the_newest_release_starts_refuses_and_streams_audio(start: Start) -> None:
    engine = start("vllm-voxtral", NEWEST)
    answers = {row.name: ask(engine, row) for row in VOXTRAL if row.name in {*REFUSED, "streamed"}}
    assert answers.pop("streamed")["type"] == "audio/pcm"
    assert {name: answer["status"] for name, answer in answers.items()} == REFUSED
