"""start.py and its causes: what differs, what is recreated, and what a log line means."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from deploys import redaction
from deploys.models.store import PROVENANCE
from deploys.stack.target.causes import CAUSES, likely_cause

sys.path.insert(0, str(Path(__file__).parents[2] / "deploys" / "stack" / "target"))
sys.modules["redaction"] = redaction  # it lies beside start.py on a host; here its directory has names of others
import start  # noqa: E402 - as on the host, where its own directory is on the path

ASKED = start.Wanted(configuration="h", image="i", weights="w")
STARTED = start.Started(configuration="h", container="c", weights="w")


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
    assert start.difference(present, STARTED, ASKED) == expected


def test_a_changed_configuration_or_a_lost_record_is_a_difference() -> None:
    assert start.difference(container(), STARTED._replace(configuration="old"), ASKED) == "its configuration changed"
    assert start.difference(container(), None, ASKED) == "its configuration changed"


@pytest.mark.parametrize(
    "present",
    [
        container(),
        container(Id="another"),
        container(Image="old"),
        container(State={"Status": "restarting"}),
        container(State={"Health": {"Status": "starting"}}),
    ],
)
def test_replaced_weights_are_the_reason_whatever_else_differs(present: dict[str, Any]) -> None:
    """Only for this reason is the container recreated by force, so no other one may hide it."""
    for old in ("another", ""):
        assert start.difference(present, STARTED._replace(weights=old), ASKED) == "its weights were replaced"
    assert start.difference(None, STARTED._replace(weights="another"), ASKED) == "has no container"


def test_a_file_that_changed_after_the_start_is_a_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "HOME", tmp_path)
    (tmp_path / "caddy").mkdir()
    (tmp_path / "caddy" / "Caddyfile").touch()
    service = {
        "volumes": [
            {"type": "bind", "source": str(tmp_path / "caddy")},
            {"type": "bind", "source": "/models/x"},
            {"type": "volume", "source": "cache"},
        ]
    }
    early, late = (container(State={"StartedAt": f"2026-11-23T14:00:0{second}Z"}) for second in ("0", "0.250000001"))
    for changed, expected in ((0.0, ""), (1_795_442_400.2, start.FILES_CHANGED)):
        os.utime(tmp_path / "caddy" / "Caddyfile", (changed, changed))
        asked = ASKED._replace(changed_at=start.changed_at(service))
        assert start.difference(early, STARTED, asked) == expected
        assert start.difference(late, STARTED, asked) == ""
    assert start.changed_at({}) == 0


def test_only_replaced_weights_and_mended_files_recreate_by_force() -> None:
    """A warm-up takes minutes: it is awaited, not begun again."""
    assert start.recreation("its weights were replaced") == ["--force-recreate"]
    assert start.recreation(start.FILES_CHANGED) == ["--force-recreate"]
    for reason in ("has no container", "its configuration changed", "its image changed", "is exited", "is starting"):
        assert start.recreation(reason) == []


def test_a_container_that_the_files_do_not_have_is_left_over_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard that moved to another host would keep its part of the card."""
    said: list[tuple[str, ...]] = []
    monkeypatch.setattr(start, "containers", lambda: {"caddy": container(), "vllm-guard": container(Id="old")})
    monkeypatch.setattr(start, "recorded", lambda: {"caddy": STARTED})
    monkeypatch.setattr(start, "docker", lambda *words: said.append(words))
    assert start.differences({"caddy": ASKED}) == {"vllm-guard": "does not run on this host any more"}
    start.remove_left_over({"caddy": ASKED})
    assert said == [("stop", "old"), ("rm", "old")]


def service(*sources: Path) -> dict[str, Any]:
    """As `docker compose config` prints it, with a volume that is no directory of the host's."""
    binds = [{"type": "bind", "source": str(source), "target": "/x", "read_only": True} for source in sources]
    return {"image": "i", "volumes": [*binds, {"type": "volume", "source": "cache", "target": "/root/.cache"}]}


def model(directory: Path, fetched_at: str) -> Path:
    directory.mkdir(parents=True)
    (directory / PROVENANCE).write_text(json.dumps({"revision": "r", "fetched_at": fetched_at}))
    return directory


def replace(directory: Path, fetched_at: str) -> Path:
    """What a repair does: the same revision, in a new directory under the old name."""
    directory.rename(directory.with_suffix(f".{fetched_at}"))
    return model(directory, fetched_at)


def test_weights_replaced_under_the_same_revision_are_another_digest(tmp_path: Path) -> None:
    mounted = model(tmp_path / "guard", "10:00")
    before = start.weights(service(mounted))
    assert before == start.weights(service(mounted)) != ""
    assert before != start.weights(service(replace(mounted, "11:00")))


def test_the_weights_of_others_and_what_lies_deeper_do_not_count(tmp_path: Path) -> None:
    mounted, other = model(tmp_path / "guard", "10:00"), model(tmp_path / "voxtral", "10:00")
    before = start.weights(service(mounted))
    replace(other, "11:00")
    model(mounted / "kept", "09:00")
    assert start.weights(service(mounted)) == before
    assert start.weights(service(mounted, other)) != before


def test_a_service_without_weights_has_no_digest_of_them(tmp_path: Path) -> None:
    assert start.weights({"image": "i"}) == ""
    assert start.weights(service(tmp_path, tmp_path / "not there")) == ""


def test_the_record_keeps_what_each_service_was_started_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "RECORD", tmp_path / ".running.json")
    assert start.recorded() == {}
    start.record("caddy", STARTED)
    start.record("vllm-guard", STARTED._replace(weights="first"))
    start.record("vllm-guard", STARTED._replace(weights="second"))
    assert start.recorded() == {"caddy": STARTED, "vllm-guard": STARTED._replace(weights="second")}
    assert json.loads(start.RECORD.read_text())["caddy"] == ["h", "c", "w"]
    start.RECORD.write_text("torn")
    assert start.recorded() == {}


def test_an_older_runs_record_reads_as_a_changed_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "RECORD", tmp_path / ".running.json")
    start.RECORD.write_text(json.dumps({"caddy": ["h", "c"], "livekit": ["h", "c", "w"]}))
    started = start.recorded()
    assert start.difference(container(), started.get("caddy"), ASKED) == "its configuration changed"
    assert start.difference(container(), started.get("livekit"), ASKED) == ""


def test_the_digest_sees_every_value_and_no_order() -> None:
    assert start.digest({"a": 1, "b": {"c": "x"}}) == start.digest({"b": {"c": "x"}, "a": 1})
    assert start.digest({"environment": {"K": "1"}}) != start.digest({"environment": {"K": "2"}})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ValueError: There is no module or parameter named 'acoustic_transformer' in MistralForCausalLM", "vllm-omni"),
        ("ValueError: No available memory for the cache blocks. Try increasing", "left to measure"),
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
    assert "left to measure" in (likely_cause(both) or "")


def test_causes_are_plain_sentences() -> None:
    assert all(cause == cause.strip() and not cause.endswith(".") for _, cause in CAUSES)


def test_a_failure_shows_log_lines_without_what_identifies_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    address, token = ".".join(["3", "120", "7", "9"]), "hf_" + "x" * 34
    monkeypatch.setattr(start, "log_lines", lambda *_: [f"listening on {address}", f"HF_TOKEN is {token}", "stopped"])
    health = {"Log": [{"Output": f"GET http://{address}/: refused\n"}]}
    message = start.failure("caddy", container(State={"Health": health}), "ended 3 times")
    assert address not in message
    assert token not in message
    assert "  | listening on [IP address]\n  | HF_TOKEN is [Hugging Face token]\n  | stopped\n" in message
    assert "last health check: GET http://[IP address]/: refused" in message
