"""What an audit found, as human lines and as one JSON document. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["ok", "warn", "fail"]
"""fail: a caller is affected, or the next run would change it. warn: a person has to look, a run does not mend it."""

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


@dataclass(frozen=True)
class Audit:
    """Everything about one host; with `strict` a warning counts too."""

    domain: str
    findings: Sequence[Finding]
    strict: bool = False

    def of(self, severity: Severity) -> list[Finding]:
        """The findings of one severity."""
        return [finding for finding in self.findings if finding.severity == severity]

    @property
    def passed(self) -> bool:
        """Whether the host is as it should be."""
        return not (self.of("fail") or (self.strict and self.of("warn")))

    def lines(self) -> list[str]:
        """For people; the verdict is the last line."""
        said = [line for finding in self.findings for line in finding.lines()]
        counts = f"{counted(len(self.of('fail')), 'difference')}, {counted(len(self.of('warn')), 'warning')}"
        return [*said, f"{'PASSED' if self.passed else 'FAILED'}: {counts}"]

    def document(self) -> Mapping[str, Any]:
        """For machines."""
        return {
            "format": FORMAT,
            "domain": self.domain,
            "passed": self.passed,
            "failures": len(self.of("fail")),
            "warnings": len(self.of("warn")),
            "findings": [asdict(finding) for finding in self.findings],
        }


def or_ok(found: list[Finding], area: str, subject: str, detail: str) -> list[Finding]:
    """`found`, or if nothing in it is wrong also one line that says that all is well."""
    if any(finding.severity != "ok" for finding in found):
        return found
    return [Finding(area, "ok", subject, detail), *found]


def counted(count: int, noun: str) -> str:
    """A number with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
