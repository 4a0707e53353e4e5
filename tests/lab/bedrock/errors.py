"""Bedrock's refusals, in its words."""

from __future__ import annotations

from tests.lab import aws


class Refused(Exception):  # noqa: N818 - an answer, not a mistake of this program
    """An answer that is not 200; `kind` is AWS's name for it."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message


def invalid(message: str) -> Refused:
    """The request is not what the API takes."""
    return Refused(400, "ValidationException", message)


def denied(_model_id: str) -> Refused:
    """The account was not given the model."""
    return Refused(403, "AccessDeniedException", "You don't have access to the model with the specified model ID.")


def forbidden(model_id: str) -> Refused:
    """The key's owner was not given the permission."""
    action = "bedrock:InvokeModelWithResponseStream"
    resource = f"arn:aws:bedrock:{aws.REGION}:123456789012:inference-profile/{model_id}"
    return Refused(
        403,
        "AccessDeniedException",
        f"User: arn:aws:sts::123456789012:assumed-role/voice-host/i-1234567890abcdef0 is not authorized to perform: "
        f"{action} on resource: {resource} because no identity-based policy allows the {action} action",
    )


def ended(_model_id: str) -> Refused:
    """The model is no more."""
    words = (
        "This model version has reached the end of its life. Please refer to the AWS documentation for more details."
    )
    return Refused(404, "ResourceNotFoundException", words)


def legacy(_model_id: str) -> Refused:
    """The model is near its end, and the account has not used it lately."""
    return Refused(
        404,
        "ResourceNotFoundException",
        "Access denied. This Model is marked by provider as Legacy and you have not been actively using the model in "
        "the last 30 days. Please upgrade to an active model on Amazon Bedrock",
    )


def throttled() -> Refused:
    """Too much was asked for."""
    return Refused(429, "ThrottlingException", "Too many requests, please wait before trying again.")


def unavailable() -> Refused:
    """The service is down."""
    return Refused(503, "ServiceUnavailableException", "Bedrock is unable to process your request.")
