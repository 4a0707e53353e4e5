"""How a run reaches its hosts."""

from __future__ import annotations

import socket
from typing import Any

import boto3
import paramiko
import pytest
from moto import mock_aws
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State
from pyinfra.context import ctx_state

from agent.voice_agent.residency import EU
from tests.programs.instances import launch
from voicestack.aws import account
from voicestack.before_connecting import HostsError, check
from voicestack.connect import environment
from voicestack.pyinfra_insides import harden
from voicestack.settings.load import SettingsError

REGION = "eu-central-1"


def test_connections_do_not_wait_for_small_packets_and_accept_no_sha1() -> None:
    harden()
    harden()
    ours, theirs = socket.create_server(("127.0.0.1", 0)), socket.socket()
    with ours, theirs:
        theirs.connect(ours.getsockname())
        transport = paramiko.Transport(theirs)
        try:
            assert theirs.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
            options = transport.get_security_options()
            options.key_types = ["ssh-rsa", *options.key_types]  # as SSHClient does for an RSA key in known_hosts
            assert "ssh-rsa" not in transport.preferred_keys
            assert {"ssh-ed25519", "rsa-sha2-512"} <= set(transport.preferred_keys)
            assert "ssh-rsa" not in transport.preferred_pubkeys
        finally:
            transport.close()


@pytest.mark.parametrize("connect", ["instance-connect", "ssh"])
def test_a_host_outside_the_allowed_regions_is_refused_before_it_is_connected(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch, connect: str
) -> None:
    """However it is reached: audio, transcripts and speech would be where the host is."""
    monkeypatch.setenv("VOICE_REGION", "us-east-1")
    monkeypatch.setenv("VOICE_CONNECT", connect)
    account.cache_clear()
    state = State()
    with ctx_state.use(state), mock_aws():
        launch(boto3.client("ec2", region_name="us-east-1"), "abroad")
        inventory = Inventory(([environment.read().inventory], data))  # type: ignore[no-untyped-call]
        state.init(inventory, None)
        with pytest.raises(SettingsError) as caught:
            check(state)
    account.cache_clear()
    assert str(caught.value) == (
        "abroad: 1 setting cannot work; nothing was changed:\n"
        f"  - VOICE_REGION: us-east-1 is outside site_allowed_regions ({', '.join(EU)}); name a region inside"
    )


def test_a_limit_that_matches_no_host_is_an_error() -> None:
    """pyinfra itself exits with 0."""
    state = State()
    with ctx_state.use(state):
        inventory = Inventory(([("one", {})], {}))  # type: ignore[no-untyped-call]
        state.init(inventory, None, initial_limit=[])
        with pytest.raises(HostsError, match=r"--limit matches none of the inventory's hosts \(one\)"):
            check(state)
