"""Bedrock's errors in words an operator can act on, without the texts that came with them (they may quote a call)."""

from __future__ import annotations

from botocore.exceptions import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    MetadataRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
)
from livekit.agents import APIStatusError

MESSAGES = {
    "credentials": "no credentials that AWS accepts: the instance has no role, or the keys are wrong or expired",
    "denied": "access denied: the role needs bedrock:InvokeModelWithResponseStream on the model",
    "no access": "the account has no access to the model",
    "ended": "the model is at the end of its life: BEDROCK_MODEL_ID must name another",
    "unknown model": "the region has no such model: check BEDROCK_MODEL_ID",
    "profile": "the model is not sold on demand: BEDROCK_MODEL_ID must be an inference profile (eu. ...)",
    "throttled": "throttled: the account's quota for this model is used up",
    "invalid": "Bedrock refused the request as invalid",
    "timeout": "no answer in time",
    "unreachable": "cannot be reached",
    "failed": "failed",
}
CODES = {
    "AccessDeniedException": "denied",
    "ExpiredToken": "credentials",
    "ExpiredTokenException": "credentials",
    "IncompleteSignature": "credentials",
    "InvalidClientTokenId": "credentials",
    "InvalidSignatureException": "credentials",
    "MissingAuthenticationTokenException": "credentials",
    "ModelNotReadyException": "throttled",
    "ModelTimeoutException": "timeout",
    "ResourceNotFoundException": "unknown model",
    "ServiceQuotaExceededException": "throttled",
    "ServiceUnavailableException": "throttled",
    "ThrottlingException": "throttled",
    "TooManyRequestsException": "throttled",
    "UnrecognizedClientException": "credentials",
    "ValidationException": "invalid",
}
# One code, several causes: AWS tells them apart in the text only. The first phrase that is in it counts.
AMBIGUOUS = frozenset({"denied", "invalid", "unknown model"})
PHRASES = {
    "on-demand throughput": "profile",
    "end of its life": "ended",
    "marked by provider as Legacy": "ended",
    "model identifier": "unknown model",
    "access to the model": "no access",
    "account is not authorized": "no access",
    "Operation not allowed": "no access",
    "aws-marketplace": "no access",
    "use case details": "no access",
}
NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, MetadataRetrievalError)
WORTH_RETRYING = frozenset({"throttled", "timeout", "unreachable", "failed"})


class BedrockError(APIStatusError):  # type: ignore[misc,unused-ignore]
    """What went wrong, as one of the kinds in `MESSAGES`."""

    def __init__(self, kind: str, status: int) -> None:
        # 429 is the one client error that the framework tries again
        super().__init__(
            f"Bedrock: {MESSAGES[kind]}",
            status_code=429 if kind == "throttled" else status,
            retryable=kind in WORTH_RETRYING,
        )
        self.kind = kind


def explain(error: Exception) -> BedrockError:
    """The same error as one of ours."""
    if isinstance(error, BedrockError):
        return error
    if isinstance(error, ClientError):
        return _from_answer(error)
    if isinstance(error, NO_CREDENTIALS):
        return BedrockError("credentials", -1)
    if isinstance(error, (ConnectTimeoutError, ReadTimeoutError, TimeoutError)):
        return BedrockError("timeout", -1)
    return BedrockError("unreachable" if isinstance(error, (BotoCoreError, OSError)) else "failed", -1)


def _from_answer(error: ClientError) -> BedrockError:
    details = error.response.get("Error", {})
    # inside a stream the codes begin with a small letter
    code = str(details.get("Code", ""))
    code = code[:1].upper() + code[1:]
    kind = CODES.get(code, "failed")
    if kind in AMBIGUOUS:
        text = str(details.get("Message", ""))
        kind = next((hint for phrase, hint in PHRASES.items() if phrase in text), kind)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", -1)
    return BedrockError(kind, status if isinstance(status, int) else -1)
