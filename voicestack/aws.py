"""Whom the run is to AWS: one session for a region and a role, with bounded retries."""

from __future__ import annotations

import functools
import getpass
import re
import socket
import threading
from collections.abc import Callable
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, CredentialResolver, DeferredRefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

REFUSALS = (BotoCoreError, ClientError)
"""What a call to AWS raises."""

ATTEMPTS = 6
_CONFIG = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": ATTEMPTS})
"""Throttling, 5xx and lost connections are tried again after a random part of 1, 2, 4, 8 and 16 s: 31 s at most."""


class Account:
    """AWS as this run sees it. Safe to use from several greenlets or threads."""

    def __init__(self, region: str, role_arn: str = "", *, metadata: bool = True) -> None:
        """`metadata`: whether an EC2 instance's role counts; to ask for one takes seconds where there is none."""
        self.region = region
        self._lock = threading.Lock()  # a session is not made for two who make clients at once; a client is
        self._session = botocore.session.get_session()
        if role_arn:
            self._assume(role_arn)
        elif not metadata:
            self._session.get_component("credential_provider").remove("iam-role")

    def client(self, service: str, config: Config | None = None) -> Any:
        """A client of this service, with `config` over what is usual here.

        Raises:
            BotoCoreError: AWS's configuration is wrong, for example names a profile that there is not.
        """
        merged = _CONFIG.merge(config) if config else _CONFIG
        with self._lock:
            return self._session.create_client(service, region_name=self.region, config=merged)

    def credentials(self) -> Any:
        """What to sign with now: access_key, secret_key and token.

        Raises:
            NoCredentialsError: boto3 finds none.
        """
        with self._lock:
            found = self._session.get_credentials()
        if found is None:
            raise NoCredentialsError
        return found.get_frozen_credentials()

    def _assume(self, role_arn: str) -> None:
        """Use the role's credentials, and new ones whenever those (one hour) come to their end."""

        def fetcher() -> AssumeRoleCredentialFetcher | None:
            source = botocore.session.get_session()
            own = source.get_credentials()
            return own and AssumeRoleCredentialFetcher(
                functools.partial(source.create_client, region_name=self.region, config=_CONFIG),
                own,
                role_arn,
                extra_args={"RoleSessionName": who()[:64]},
            )

        self._session.register_component("credential_provider", CredentialResolver([_Role(fetcher)]))


class _Role:
    """What botocore asks for credentials."""

    METHOD = CANONICAL_NAME = "assume-role"

    def __init__(self, fetcher: Callable[[], AssumeRoleCredentialFetcher | None]) -> None:
        self._fetcher = fetcher

    def load(self) -> Any:
        """None without credentials to assume the role with; botocore then says that there are none."""
        fetcher = self._fetcher()
        return fetcher and DeferredRefreshableCredentials(fetcher.fetch_credentials, self.METHOD)


@functools.cache
def account(region: str, role_arn: str = "") -> Account:
    """The one account of this process for a region and a role."""
    return Account(region, role_arn)


def who() -> str:
    """The operator and the controller, as they may stand in a role session's name and in a key's comment."""
    return re.sub(r"[^A-Za-z0-9_.@-]", "-", f"voice-deploy-{getpass.getuser()}@{socket.gethostname()}")


def code(error: BaseException) -> str:
    """AWS's name for what went wrong; empty when AWS did not answer."""
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else ""
