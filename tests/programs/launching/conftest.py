"""The simulated account, in an operator's environment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto import mock_aws

from tests.programs.launching.cloud import NETWORK, Cloud
from voicestack.aws import account
from voicestack.launch import calls


@pytest.fixture(scope="module", autouse=True)
def fresh_accounts() -> Iterator[None]:
    """botocore's clients are made once for a module, which is most of a test's time, and not for other modules."""
    account.cache_clear()
    yield
    account.cache_clear()


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """An account in which nothing was made yet."""
    for name in ("TAG", "REGION", "ROLE_ARN", "CONNECT", "ENDPOINT", "SUBNET", "DOMAIN", "ACME_EMAIL"):
        monkeypatch.delenv(f"VOICE_{name}", raising=False)
    monkeypatch.setenv("VOICE_SSH_FROM", NETWORK)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setattr(calls, "PAUSE_S", 0)
    with mock_aws():
        yield Cloud(monkeypatch)
