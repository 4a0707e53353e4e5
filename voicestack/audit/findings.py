"""What an audit found, as human lines and as one JSON document. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["ok", "warn", "fail"]

FORMAT = 1
"""Of the document: raised when a reader of the old one would misunderstand the new one."""

DEPLOY = "run deploys/voice.py"
DIFF_LINES = 40
"""Shown to people; the document has them all."""


@dataclass(frozen=True)
class Finding:
    """One thing that was compared: what, how it is, what to do; `diff` is redacted."""

    area: str
    severity: Severity
    subject: str
    detail: str
    fix: str = ""
    diff: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """For people."""
        mark = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}[self.severity]
        said = [f"  {mark}  {self.area:<12} {self.subject}: {self.detail}"]
        said += [f"        | {line}" for line in self.diff[:DIFF_LINES]]
        if len(self.diff) > DIFF_LINES:
            said.append(f"        | ... {len(self.diff) - DIFF_LINES} more lines")
        return [*said, f"        fix: {self.fix}"] if self.fix else said


class Area:
    """What is compared of one kind: its findings, in their order."""

    def __init__(self, name: str) -> None:
        self.name, self.findings = name, list[Finding]()

    def fail(self, subject: str, detail: str, fix: str = DEPLOY, diff: tuple[str, ...] = ()) -> None:
        """Callers are affected, the next run would change it, or a secret could be read."""
        self.findings.append(Finding(self.name, "fail", subject, detail, fix, diff))

    def warn(self, subject: str, detail: str, fix: str = "") -> None:
        """A person has to look, because a run does not mend it."""
        self.findings.append(Finding(self.name, "warn", subject, detail, fix))

    def ok(self, subject: str, detail: str) -> None:
        """Good to know."""
        self.findings.append(Finding(self.name, "ok", subject, detail))

    def or_ok(self, subject: str, detail: str) -> list[Finding]:
        """All of them, or if nothing is wrong also one that says that all is well, first."""
        if any(finding.severity != "ok" for finding in self.findings):
            return self.findings
        return [Finding(self.name, "ok", subject, detail), *self.findings]


@dataclass(frozen=True)
class Audit:
    """Everything about one host; with `strict` a warning counts too."""

    domain: str
    findings: Sequence[Finding]
    strict: bool = False

    def count(self, severity: Severity) -> int:
        """How many findings have that severity."""
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def passed(self) -> bool:
        """Whether the host is as it should be."""
        return not (self.count("fail") or (self.strict and self.count("warn")))

    def lines(self) -> list[str]:
        """For people; the verdict is the last line."""
        said = [line for finding in self.findings for line in finding.lines()]
        counts = f"{counted(self.count('fail'), 'difference')}, {counted(self.count('warn'), 'warning')}"
        return [*said, f"{'PASSED' if self.passed else 'FAILED'}: {counts}"]

    def document(self) -> Mapping[str, Any]:
        """For machines."""
        return {
            "format": FORMAT,
            "domain": self.domain,
            "passed": self.passed,
            "failures": self.count("fail"),
            "warnings": self.count("warn"),
            "findings": [asdict(finding) for finding in self.findings],
        }


def counted(count: int, noun: str) -> str:
    """A number with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
