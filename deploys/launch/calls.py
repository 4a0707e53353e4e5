"""Calls to AWS by name; what AWS refuses is one sentence with the fix."""

from __future__ import annotations

import re
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from deploys.access import aws

DENIED = frozenset({"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"})

FIXES = {
    "VcpuLimitExceeded": "ask for more of the quota of this kind of instance in Service Quotas, EC2 (for g6: "
    '"Running On-Demand G and VT instances", counted in vCPUs; a new account has none)',
    "AddressLimitExceeded": "ask for more Elastic IP addresses in Service Quotas, EC2, or release one",
    "VpcLimitExceeded": "ask for more in Service Quotas",
    "ExpiredToken": "your AWS credentials have expired: log in again",
    "ExpiredTokenException": "your AWS credentials have expired: log in again",
    "RequestExpired": "your AWS credentials have expired, or this machine's clock is wrong",
    "AuthFailure": "AWS does not accept these credentials, or this machine's clock is wrong",
    "InvalidClientTokenId": "AWS does not know these credentials",
    "UnrecognizedClientException": "AWS does not know these credentials",
}
"""By AWS's code; what is not here has AWS's own words."""


class LaunchError(Exception):
    """It cannot go on; the message says why and what to do. `code` is AWS's, or empty."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Aws:
    """The services of one account in one region."""

    def __init__(self, account: aws.Account) -> None:
        self.account = account
        self._clients: dict[str, Any] = {}

    def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """The answer, of all pages, of boto3's `operation` ("describe_volumes") of a service ("ec2").

        Raises:
            LaunchError: AWS refused, or could not be asked.
        """
        if service not in self._clients:
            self._clients[service] = self.account.client(service)
        client = self._clients[service]
        action = f"{service}:{client.meta.method_to_api_mapping[operation]}"
        try:
            if client.can_paginate(operation):
                return dict(client.get_paginator(operation).paginate(**arguments).build_full_result())
            return dict(getattr(client, operation)(**arguments))
        except NoCredentialsError:
            raise LaunchError(f"{action}: there are no AWS credentials where boto3 looks for them") from None
        except ClientError as error:
            raise LaunchError(explained(error, action), aws.code(error)) from error
        except BotoCoreError as error:
            raise LaunchError(f"{action}: {error}") from error


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
