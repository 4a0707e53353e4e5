"""Calls to AWS by name; what AWS refuses is one sentence with the fix, what it does not know yet is asked again."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from voicestack import aws

PAUSE_S = 5

KNOWN_S = 120
"""What one call made, the next may find unknown for some seconds; a new instance profile EC2 for up to two minutes
(hashicorp/terraform#15341)."""

REMINDER_S = 30
"""The same state is said again after so long."""

DENIED = frozenset({"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"})

EXPIRED = "your AWS credentials have expired: log in again"
UNKNOWN = "AWS does not know these credentials"

FIXES = {
    "VcpuLimitExceeded": "ask for more of the quota of this kind of instance in Service Quotas, EC2 (for g6: "
    '"Running On-Demand G and VT instances", counted in vCPUs; a new account has none)',
    "AddressLimitExceeded": "ask for more Elastic IP addresses in Service Quotas, EC2, or release one",
    "ExpiredToken": EXPIRED,
    "ExpiredTokenException": EXPIRED,
    "RequestExpired": "your AWS credentials have expired, or this machine's clock is wrong",
    "AuthFailure": "AWS does not accept these credentials, or this machine's clock is wrong; of an image: this account "
    "may not use it",
    "SignatureDoesNotMatch": "the secret access key is wrong, or this machine's clock",
    "InvalidClientTokenId": UNKNOWN,
    "UnrecognizedClientException": UNKNOWN,
}
"""By AWS's code; what is not here has AWS's own words."""


class LaunchError(Exception):
    """It cannot go on; the message says why and what to do. `code` is AWS's, or empty."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code

    @property
    def too_early(self) -> bool:
        """Whether AWS may only not know yet what was just made."""
        if self.code == "InvalidParameterValue":
            return "Invalid IAM Instance Profile" in str(self) or "has no associated IAM Roles" in str(self)
        return self.code.endswith(".NotFound") or self.code == "NoSuchEntity"


def say(line: str) -> None:
    """Print a line of the plan, or of progress."""
    print(line, flush=True)


class Aws:
    """The services of one account in one region. Each call raises a LaunchError if AWS refuses or cannot be asked."""

    def __init__(self, account: aws.Account) -> None:
        self.account = account
        self._clients: dict[str, Any] = {}

    def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """The answer, of all pages, of boto3's `operation` ("describe_volumes") of a service ("ec2")."""
        action = f"{service}:{operation}"
        try:
            if service not in self._clients:
                self._clients[service] = self.account.client(service)
            client = self._clients[service]
            action = f"{service}:{client.meta.method_to_api_mapping[operation]}"
            if client.can_paginate(operation):
                return dict(client.get_paginator(operation).paginate(**arguments).build_full_result())
            return dict(getattr(client, operation)(**arguments))
        except NoCredentialsError:
            raise LaunchError(f"{action}: there are no AWS credentials where boto3 looks for them") from None
        except ClientError as error:
            raise LaunchError(explained(error, action), aws.code(error)) from error
        except BotoCoreError as error:
            raise LaunchError(f"{action}: {error}") from error

    def change(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """The same of a call that changes something, asked again while what it names is too new for AWS to know.

        A call that was refused did nothing, so none does its work twice.
        """
        begun, told = time.monotonic(), False
        while True:
            try:
                return self.call(service, operation, **arguments)
            except LaunchError as error:
                if not error.too_early or time.monotonic() - begun > KNOWN_S:
                    raise
                if not told:
                    say(f"    not known yet, asked again for {KNOWN_S} s: {error}")
                told = True
            time.sleep(PAUSE_S)


def await_state(what: str, state: Callable[[], str], wanted: str, *, limit_s: int) -> None:
    """Return when `state()` is `wanted`; say its other values when they change, and every REMINDER_S.

    Raises:
        LaunchError: it is not after `limit_s` seconds, or AWS could not be asked.
    """
    begun = said_at = time.monotonic()
    said = ""
    while (now := _if_known(state)) != wanted:
        passed = time.monotonic() - begun
        if passed > limit_s:
            raise LaunchError(f"{what} is still {now} after {limit_s} s, not {wanted}; look at it, then run this again")
        if now != said or time.monotonic() - said_at >= REMINDER_S:
            say(f"    {what} is {now} ({passed:.0f} s)")
            said, said_at = now, time.monotonic()
        time.sleep(PAUSE_S)
    say(f"    {what} is {wanted}")


def _if_known(state: Callable[[], str]) -> str:
    try:
        return state()
    except LaunchError as error:
        if error.too_early:
            return "not known yet"
        raise


def explained(error: ClientError, action: str) -> str:
    """What AWS refused, as one sentence that names the permission, the quota or the fix."""
    code, words = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    words = re.sub(r"\s*Encoded authorization failure message:.*", "", words, flags=re.DOTALL).strip()
    if code in DENIED:
        # One call may need several permissions: RunInstances also ec2:CreateTags and iam:PassRole.
        named = re.search(r"not authorized to perform: (\w[\w-]*:\w+)", words)
        return (
            f"{named[1] if named else action} is not allowed to you (asked for by {action}); the policy that you need "
            f"is in docs/decisions/launch.md. AWS says: {words}"
        )
    return f"{action}: {code}: {FIXES[code]}. AWS says: {words}" if code in FIXES else f"{action}: {code}: {words}"
