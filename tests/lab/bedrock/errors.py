"""Bedrock's refusals, in its words."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818 - an answer, not a mistake of this program
    """An answer that is not 200; `kind` is AWS's name for it."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message


def invalid(message: str) -> Refused:
    """The request is not what the API takes."""
    return Refused(400, "ValidationException", message)


def denied() -> Refused:
    """The account was not given the model, or the key's owner not the permission."""
    return Refused(403, "AccessDeniedException", "You don't have access to the model with the specified model ID.")


def throttled() -> Refused:
    """Too much was asked for."""
    return Refused(429, "ThrottlingException", "Too many requests, please wait before trying again.")


def unavailable() -> Refused:
    """The service is down."""
    return Refused(503, "ServiceUnavailableException", "Bedrock is unable to process your request.")
