"""What single programs of an operator read: verify, rollback, backup and restore, audit, launch."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator

from voicestack import age as encryption
from voicestack.settings.types import Fraction, Positive, Section, Sentence, SingleLine


class Releases(Section):
    """What is kept of the sets of files that were healthy."""

    keep: Annotated[int, Field(ge=2)]


class Rollback(Section):
    """Going back by hand (deploys/rollback.py): a release's number, 0 for the one before."""

    to: Annotated[int, Field(ge=0)]


def _recipient(text: str) -> str:
    encryption.recipient(text)
    return text


class Backup(Section):
    """What deploys/backup.py makes: the public keys that can read it, and the controller's directory for it."""

    recipients: list[Annotated[str, AfterValidator(_recipient)]]
    directory: Sentence

    @field_validator("recipients", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return value.splitlines() if isinstance(value, str) else value


class Restore(Section):
    """What deploys/restore.py brings back: paths of the controller, and the backup's domain if it is another."""

    file: SingleLine
    identity: SingleLine
    domain: SingleLine


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
    """The EC2 host that `python -m voicestack.launch` makes; sizes in GiB."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,47}$")]
    instance_type: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$")]
    image: Annotated[str, Field(pattern=r"^/aws/service/[A-Za-z0-9/_.-]+$")]
    root_gib: Annotated[int, Field(ge=8, le=16_384)]
    models_gib: Annotated[int, Field(ge=1, le=16_384)]
    zone: Annotated[str, Field(pattern=r"^([a-z]{2}(-[a-z]+)+-[0-9][a-z])?$")]


class Teardown(Section):
    """What deploys/teardown.py takes down beyond the stack; `confirm` must be the site's name."""

    confirm: SingleLine
    weights: bool
    secrets: bool
