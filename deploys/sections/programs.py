"""What single programs of an operator read: verify, rollback, audit, launch."""

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


class Launch(Section):
    """The EC2 host that `python -m deploys.launch` makes; sizes in GiB."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,47}$")]
    instance_type: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$")]
    image: Annotated[str, Field(pattern=r"^/aws/service/[A-Za-z0-9/_.-]+$")]
    root_gib: Annotated[int, Field(ge=8, le=16_384)]
    models_gib: Annotated[int, Field(ge=1, le=16_384)]
    zone: Annotated[str, Field(pattern=r"^([a-z]{2}(-[a-z]+)+-[0-9][a-z])?$")]


class Teardown(Section):
    """What deploys/teardown.py takes down beyond the stack; `confirm` must be the site's name."""

    confirm: SingleLine
    packages: bool
    weights: bool
    secrets: bool
