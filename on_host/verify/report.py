"""What a verification found: checks and measures, as events, as human lines and as one JSON document.

Shared by the container that asks, the host that runs it and the controller; standard library only, pure.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

LEGS = ("caddy", "livekit", "worker", "stt", "llm", "guard", "tts")
"""What a call goes through. A failed check names one of them, or GATE: then the verification itself could not work."""

GATE = "gate"
PROBES = ("reachable", "conversation", "rotation")
FORMAT = 1
"""Of the document: raised when a reader of the old one would misunderstand the new one."""


@dataclass(frozen=True)
class Check:
    """One thing that was asked; `detail` says what was found, `cause` why it probably failed."""

    probe: str
    name: str
    leg: str
    passed: bool
    detail: str
    cause: str = ""

    def lines(self) -> list[str]:
        """For people."""
        said = [f"  {'ok  ' if self.passed else 'FAIL'}  {self.leg:<8} {self.name}: {self.detail}"]
        return said if self.passed or not self.cause else [*said, f"        likely cause: {self.cause}"]


@dataclass
class Report:
    """Everything one verification found, in the order in which it was found."""

    domain: str
    address: str = ""
    seconds: float = 0.0
    checks: list[Check] = field(default_factory=list)
    latency_ms: dict[str, dict[str, int]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    spoken: dict[str, dict[str, str]] = field(default_factory=dict)
    recordings: dict[str, str] = field(default_factory=dict)

    @property
    def failure(self) -> Check | None:
        """The first check that failed: what comes after it often fails because of it."""
        return next((check for check in self.checks if not check.passed), None)

    @property
    def passed(self) -> bool:
        """Whether something was checked and nothing failed."""
        return bool(self.checks) and self.failure is None

    def take(self, event: str, **values: Any) -> list[str]:
        """Add what an event says; the human lines for it."""
        lines: list[str] = getattr(self, f"_take_{event}")(**values)
        return lines

    def _take_check(self, **values: Any) -> list[str]:
        self.checks.append(Check(**values))
        return self.checks[-1].lines()

    def _take_latency(self, of: str, legs_ms: dict[str, int]) -> list[str]:
        self.latency_ms[of] = legs_ms
        return [f"        latency of the {of}, ms: {', '.join(f'{leg} {ms}' for leg, ms in legs_ms.items())}"]

    def _take_warning(self, text: str) -> list[str]:
        self.warnings.append(text)
        return [f"  warn  {text}"]

    def _take_note(self, text: str) -> list[str]:
        self.notes.append(text)
        return [f"        {text}"]

    def _take_spoken(self, of: str, **texts: str) -> list[str]:
        self.spoken[of] = texts
        return []

    def _take_recording(self, of: str, wav: str) -> list[str]:
        self.recordings[of] = wav
        return []

    def _take_skipped(self, probe: str, why: str) -> list[str]:
        self.skipped[probe] = why
        return [f"{probe}: {why}"]

    def last_line(self) -> str:
        """The verdict."""
        failure = self.failure
        if failure is None:
            return f"PASSED: {len(self.checks)} checks in {self.seconds:.0f} s"
        return f"FAILED: the leg {failure.leg} broke in probe {failure.probe}: {failure.name}: {failure.detail}"

    def document(self) -> dict[str, Any]:
        """For machines: everything but the recordings, which are sound."""
        return {
            "format": FORMAT,
            "domain": self.domain,
            "address": self.address,
            "passed": self.passed,
            "failure": asdict(self.failure) if self.failure else None,
            "probes": {probe: self._probe(probe) for probe in PROBES},
            "latency_ms": self.latency_ms,
            "warnings": self.warnings,
            "notes": self.notes,
            "spoken": self.spoken,
            "seconds": round(self.seconds, 1),
        }

    def _probe(self, probe: str) -> dict[str, Any]:
        checks = [asdict(check) for check in self.checks if check.probe == probe]
        if not checks:
            return {"passed": None, "skipped": self.skipped.get(probe, "not reached"), "checks": []}
        return {"passed": all(check["passed"] for check in checks), "skipped": None, "checks": checks}
