"""What all suites share: the defaults of group_data as a complete set of settings."""

from __future__ import annotations

import os
from typing import Any

import hypothesis
import pytest

from voicestack.settings.group_data import flat
from voicestack.settings.load import parse
from voicestack.settings.model import Settings

# moto would otherwise load a list of some hundred images for each simulated account.
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"

# An operator's own .env is no test's business.
os.environ["VOICE_SECRETS_FILE"] = ""

# The quick suite's share; a nightly run may ask for more with --hypothesis-profile=default.
hypothesis.settings.register_profile("quick", max_examples=40, deadline=None)
hypothesis.settings.load_profile("quick")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the suites that run against real hosts: tests/host and tests/gate."""
    parser.addoption("--inventory", default=None, help="pyinfra inventory, e.g. inventories/prod.py")
    parser.addoption("--host", default=None, help="only this host of it")
    parser.addoption("--ssh-user", default=None, help="as pyinfra's, e.g. admin for Debian's images on EC2")
    parser.addoption("--rotation", action="store_true", help="tests/gate: also change LiveKit's key pair and back")


def default_data() -> dict[str, Any]:
    """group_data/all.py plus what an inventory must add."""
    return {**flat("all", []), "site_domain": "voice.example.org", "site_public_address": "192.0.2.10"}


@pytest.fixture
def data() -> dict[str, Any]:
    """A complete, valid set of settings as flat data."""
    return default_data()


@pytest.fixture
def settings(data: dict[str, Any]) -> Settings:
    """The same, parsed."""
    return parse(data)
