"""How a run reaches its hosts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
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
from voicestack.aws import Account, account
from voicestack.before_connecting import HostsError, check
from voicestack.connect import environment
from voicestack.connect.ec2 import InstancesError, running_instances
from voicestack.pyinfra_insides import harden
from voicestack.settings.load import SettingsError

REGION = "eu-central-1"
ROOT = Path(__file__).resolve().parents[2]


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


@mock_aws
def test_running_instances_are_found_by_tag() -> None:
    client = boto3.client("ec2", region_name=REGION)
    launch(client, "second")
    launch(client, "first")
    launch(client, "other", Role="web")
    assert [each.name for each in running_instances("tag:Role=voice", Account(REGION))] == ["first", "second"]


@mock_aws
def test_missing_and_stopped_instances_are_said_clearly() -> None:
    client = boto3.client("ec2", region_name=REGION)
    with pytest.raises(InstancesError, match="no EC2 instance in eu-central-1 with Role=voice"):
        running_instances("tag:Role=voice", Account(REGION))
    client.stop_instances(InstanceIds=[launch(client, "asleep")])
    with pytest.raises(InstancesError, match=r"asleep \(i-\w+\) is stopped. Start them"):
        running_instances("tag:Role=voice", Account(REGION))
    with pytest.raises(InstancesError, match="must be tag:KEY=VALUE"):
        running_instances("tag:voice", Account(REGION))


def test_missing_credentials_are_said_clearly(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    with pytest.raises(InstancesError, match=r"AWS credentials: .* cannot be asked \(Unable to locate credentials"):
        running_instances("tag:Role=voice", Account(REGION))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["inventories/nowhere.py"], "the inventory has no hosts"),
        (
            ["--data", "site_domain=", "inventories/example.py"],
            "voice.example.org: 1 setting cannot work; nothing was changed",
        ),
    ],
)
def test_a_run_that_would_do_nothing_or_the_wrong_thing_fails_before_it_connects(words: list[str], said: str) -> None:
    """pyinfra itself exits with 0 for a missing inventory. No lab is up here."""
    pyinfra = Path(sys.executable).with_name("pyinfra")
    run = subprocess.run(
        [pyinfra, "-y", *words, "deploys/voice.py"],
        cwd=ROOT,
        env={**os.environ, "VOICE_LAB_STATE": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert said in run.stderr
    assert "Connecting to hosts" not in run.stderr


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
