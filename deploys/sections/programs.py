"""What single programs of an operator read: verify, rollback, audit."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from deploys.sections.base import Fraction, Positive, Section, Sentence, SingleLine


class Releases(Section):
    """What is kept of the sets of files that were healthy."""

    keep: Annotated[int, Field(ge=2)]


class Rollback(Section):
    """Going back by hand (deploys/rollback.py): a release's number, 0 for the one before."""

    to: Annotated[int, Field(ge=0)]


class Gate(Section):
    """The verification (deploys/verify.py); paths are the controller's."""

    rotation: bool
    report: SingleLine
    recordings: SingleLine
    question: Sentence
    question_wav: SingleLine
    unsafe_question: Sentence
    patience_s: Positive
    least_overlap: Fraction


class Audit(Section):
    """The audit (deploys/audit.py); paths are the controller's."""

    report: SingleLine
    against: SingleLine
    strict: bool
