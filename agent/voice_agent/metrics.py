"""Counts and durations for Prometheus, held by the main process. Labels come from closed sets, never from a call.

Calls run in processes of their own; they report over the agent's own socket (`backstage.py`) instead of through
prometheus_client's files, which would need a directory that outlives its writers and is cleaned by nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import (  # type: ignore[import-not-found,unused-ignore]
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from .bedrock_errors import MESSAGES
from .environment import CATEGORIES
from .turns import LEGS

# Seconds; a reply under one second is what this is built for, over ten the caller has hung up.
BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
DIRECTIONS = ("input", "output")
VERDICTS = ("safe", "unsafe", "deadline", "error")
# What can go wrong, by leg. A kind that is not listed is counted as "other".
KINDS = {
    "stt": ("failed", "unreachable"),
    "llm": ("empty", *MESSAGES),
    "guard": ("deadline", "error"),
    "tts": ("failed", "no speech", "not audio", "refused", "timeout", "unreachable"),
}
OTHER = "other"


class Metrics:
    """The agent's own figures."""

    def __init__(self, sessions: Callable[[], int]) -> None:
        disable_created_metrics()
        self._registry = CollectorRegistry()
        self._turns = Counter("voice_turns", "Turns of callers that got a reply or lost it", registry=self._registry)
        self._legs = Histogram(
            "voice_leg_seconds", "How long each leg of a turn took", ["leg"], buckets=BUCKETS, registry=self._registry
        )
        self._verdicts = Counter(
            "voice_guard_verdicts",
            "Verdicts of Llama Guard; deadline and error count as unsafe",
            ["direction", "verdict", "category"],
            registry=self._registry,
        )
        self._errors = Counter("voice_errors", "What failed", ["leg", "kind"], registry=self._registry)
        gauge = Gauge("voice_sessions", "Calls running now", registry=self._registry)
        gauge.set_function(sessions)

    def add(self, report: Mapping[str, Any]) -> None:
        """Take one report of a call; anything that is not from the closed sets is dropped or counted as other."""
        kind = report.get("what")
        if kind == "turn":
            self._turns.inc()
            for leg, milliseconds in dict(report["legs_ms"]).items():
                if leg in LEGS:
                    self._legs.labels(leg).observe(float(milliseconds) / 1000)
        elif kind == "verdict" and report["direction"] in DIRECTIONS and report["verdict"] in VERDICTS:
            for category in report["categories"] or [""]:
                known = category if category in ("", *CATEGORIES) else OTHER
                self._verdicts.labels(report["direction"], report["verdict"], known).inc()
        elif kind == "error" and report["leg"] in KINDS:
            leg, why = report["leg"], report["kind"]
            self._errors.labels(leg, why if why in KINDS[leg] else OTHER).inc()

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        page: bytes = generate_latest(self._registry)
        return page
