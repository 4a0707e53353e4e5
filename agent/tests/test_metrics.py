from __future__ import annotations

from voice_agent.metrics import Metrics


def test_figures() -> None:
    metrics = Metrics(lambda: 2)
    metrics.add({"what": "turn", "legs_ms": {"transcript": 800, "reply": 1700}})
    metrics.add({"what": "verdict", "direction": "input", "verdict": "safe", "categories": []})
    metrics.add({"what": "verdict", "direction": "output", "verdict": "unsafe", "categories": ["S1", "S10"]})
    metrics.add({"what": "error", "leg": "llm", "kind": "throttled"})
    lines = metrics.text().decode().splitlines()
    for line in (
        "voice_turns_total 1.0",
        "voice_sessions 2.0",
        'voice_leg_seconds_sum{leg="transcript"} 0.8',
        'voice_leg_seconds_bucket{le="2.0",leg="reply"} 1.0',
        'voice_guard_verdicts_total{category="",direction="input",verdict="safe"} 1.0',
        'voice_guard_verdicts_total{category="S1",direction="output",verdict="unsafe"} 1.0',
        'voice_guard_verdicts_total{category="S10",direction="output",verdict="unsafe"} 1.0',
        'voice_errors_total{kind="throttled",leg="llm"} 1.0',
    ):
        assert line in lines


def test_labels_come_from_closed_sets() -> None:
    metrics = Metrics(lambda: 0)
    metrics.add({"what": "turn", "legs_ms": {"elephant": 1}})
    metrics.add({"what": "verdict", "direction": "elephant", "verdict": "safe", "categories": []})
    metrics.add({"what": "verdict", "direction": "output", "verdict": "unsafe", "categories": ["elephant"]})
    metrics.add({"what": "error", "leg": "elephant", "kind": "failed"})
    metrics.add({"what": "error", "leg": "tts", "kind": "elephant"})
    metrics.add({"what": "elephant"})
    text = metrics.text().decode()
    assert "elephant" not in text
    assert 'voice_errors_total{kind="other",leg="tts"} 1.0' in text
    assert 'category="other"' in text
