"""What goes wrong next. The controls are listed in server.py."""

from __future__ import annotations

import time
from collections.abc import Mapping

from tests.lab import aws
from tests.lab.bedrock.errors import Refused
from tests.lab.controlled import Due

_FORBIDDEN = (
    "User: arn:aws:sts::123456789012:assumed-role/voice-host/i-1234567890abcdef0 is not authorized to perform: "
    "bedrock:InvokeModelWithResponseStream on resource: "
    f"arn:aws:bedrock:{aws.REGION}:123456789012:inference-profile/{{}} because no identity-based policy allows the "
    "bedrock:InvokeModelWithResponseStream action"
)
_LEGACY = (
    "Access denied. This Model is marked by provider as Legacy and you have not been actively using the model in the "
    "last 30 days. Please upgrade to an active model on Amazon Bedrock"
)
_ENDED = "This model version has reached the end of its life. Please refer to the AWS documentation for more details."
_REFUSALS = {
    "deny": (403, "AccessDeniedException", "You don't have access to the model with the specified model ID."),
    "forbid": (403, "AccessDeniedException", _FORBIDDEN),
    "end": (404, "ResourceNotFoundException", _ENDED),
    "legacy": (404, "ResourceNotFoundException", _LEGACY),
}
"""Control -> status, AWS's name and words, in which {} is the model's id."""


class Faults:
    """The switches, and how many requests they still apply to."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._refused: dict[str, str] = {}
        self._due = Due()
        self._first_ms = self._between_ms = 0

    def control(self, verb: str, query: Mapping[str, str]) -> bool:
        """See ControlledServer.control."""
        if verb == "reset":
            self._forget()
        elif verb in _REFUSALS:
            self._refused.pop(query.get("client", ""), None)
            if query["on"] == "1":
                self._refused[query.get("client", "")] = verb
        elif verb in ("throttle", "down", "break-stream"):
            self._due.set(verb, int(query.get("for", "1")))
        elif verb == "slow":
            self._first_ms, self._between_ms = int(query.get("first", "0")), int(query.get("between", "0"))
        else:
            return False
        return True

    def check_down(self) -> None:
        """Before anything else is looked at."""
        if self._due.take("down"):
            raise Refused(503, "ServiceUnavailableException", "Bedrock is unable to process your request.")

    def check_quota(self) -> None:
        """After the signature, as it depends on whose request it is."""
        if self._due.take("throttle"):
            raise Refused(429, "ThrottlingException", "Too many requests, please wait before trying again.")

    def check_access(self, client: str, model_id: str) -> None:
        """Once it is known which model is meant, and that there is one of that name."""
        verb = self._refused.get(client) or self._refused.get("")
        if verb:
            status, kind, words = _REFUSALS[verb]
            raise Refused(status, kind, words.format(model_id))

    def takes_break(self) -> bool:
        """Whether this stream is to end in its middle."""
        return self._due.take("break-stream")

    def await_first(self) -> None:
        """The time until the first word."""
        time.sleep(self._first_ms / 1000)

    def await_next(self, words: int = 1) -> None:
        """The time between words."""
        time.sleep(words * self._between_ms / 1000)
