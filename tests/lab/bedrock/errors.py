"""What Bedrock answers instead of what was asked for."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818 - an answer, not a mistake of this program
    """An answer that is not 200; `kind` is AWS's name for it."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message


def invalid(message: str) -> Refused:
    """The request is not what the API takes."""
    return Refused(400, "ValidationException", message)
