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
    return {"Id": "c", "Image": "i", "State": state, **changes}


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        (container(), ""),
        (None, "has no container"),
        (container(Id="another"), "its configuration changed"),
        (container(Image="old"), "its image changed"),
        (container(State={"Status": "exited"}), "is exited"),
        (container(State={"Health": {"Status": "unhealthy"}}), "is unhealthy"),
        (container(State={"Health": {"Status": "starting"}}), "is starting"),
    ],
)
def test_a_container_differs_for_a_reason(present: dict[str, Any] | None, expected: str) -> None:
    assert start.difference(present, ["h", "c"], "h", "i") == expected


def test_a_changed_configuration_or_a_lost_record_is_a_difference() -> None:
    assert start.difference(container(), ["old", "c"], "h", "i") == "its configuration changed"
    assert start.difference(container(), None, "h", "i") == "its configuration changed"


def test_the_digest_sees_every_value_and_no_order() -> None:
    assert start.digest({"a": 1, "b": {"c": "x"}}) == start.digest({"b": {"c": "x"}, "a": 1})
    assert start.digest({"environment": {"K": "1"}}) != start.digest({"environment": {"K": "2"}})


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
