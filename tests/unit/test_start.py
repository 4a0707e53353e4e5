"""start.py and its causes: what differs, and what a log line means."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from deploys.stack.target.causes import CAUSES, likely_cause

sys.path.insert(0, str(Path(__file__).parents[2] / "deploys" / "stack" / "target"))
import start  # as on the host, where its own directory is on the path


def container(**changes: Any) -> dict[str, Any]:
    state = {"Status": "running", "Health": {"Status": "healthy"}, **changes.pop("State", {})}
    return {"Config": {"Labels": {"com.docker.compose.config-hash": "h"}}, "Image": "i", "State": state, **changes}


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        (container(), ""),
        (None, "has no container"),
        (container(Config={"Labels": {"com.docker.compose.config-hash": "old"}}), "its configuration changed"),
        (container(Image="old"), "its image changed"),
        (container(State={"Status": "exited"}), "is exited"),
        (container(State={"Health": {"Status": "unhealthy"}}), "is unhealthy"),
        (container(State={"Health": {"Status": "starting"}}), "is starting"),
    ],
)
def test_a_container_differs_for_a_reason(present: dict[str, Any] | None, expected: str) -> None:
    assert start.difference(present, "h", "i") == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ValueError: There is no module or parameter named 'acoustic_transformer' in MistralForCausalLM", "vllm-omni"),
        ("ValueError: No available memory for the cache blocks. Try increasing", "guard_memory"),
        ("CUDA out of memory occurred when warming up sampler with 256 dummy requests", "guard_sequences"),
        ("Error in memory profiling. Initial free memory 3 GiB", "only the stack may use the card"),
        ("listen tcp 127.0.0.1:7880: bind: address already in use", "ss -lntup"),
    ],
)
def test_known_errors_have_a_cause(line: str, expected: str) -> None:
    assert expected in (likely_cause(["something else", line, "a last line"]) or "")


def test_unknown_errors_have_none_and_the_last_telling_line_wins() -> None:
    assert likely_cause(["nothing known"]) is None
    assert likely_cause([]) is None
    both = ["bind: address already in use", "No available memory for the cache blocks"]
    assert "guard_memory" in (likely_cause(both) or "")


def test_causes_are_plain_sentences() -> None:
    assert all(cause == cause.strip() and not cause.endswith(".") for _, cause in CAUSES)
