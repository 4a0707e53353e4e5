"""Which instances @eic finds and which host keys it expects; what a real sshd says is in tests/e2e."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import boto3
import paramiko
import pytest
from moto import mock_aws
from pyinfra.api.connectors import get_all_connectors
from pyinfra.api.exceptions import ConnectError
from pyinfra.api.inventory import Inventory

from tests.lab.ec2.sshd import console
from tests.programs.instances import launch
from voicestack.aws import Account, account
from voicestack.connect import environment, host_keys
from voicestack.connect.ec2 import InstancesError
from voicestack.connect.environment import EnvironmentVariableError
from voicestack.connect.instance_connect import InstanceConnect
from voicestack.connect.pushed_key import new_key

REGION = "eu-central-1"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ec2(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """EC2 as moto knows it."""
    for name in ("VOICE_TAG", "VOICE_REGION", "VOICE_ROLE_ARN", "VOICE_CONNECT", "VOICE_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    account.cache_clear()
    with mock_aws():
        yield boto3.client("ec2", region_name=REGION)
    account.cache_clear()


def inventory(name: str = "@eic/tag:Role=voice") -> dict[str, Any]:
    """The hosts of an inventory by name."""
    return {host.name: host for host in Inventory(([name], {}))}  # type: ignore[no-untyped-call]


def public(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.get_base64()} root@ip-10-0-0-1"


def test_pyinfra_finds_this_repositorys_connectors() -> None:
    connectors = get_all_connectors()  # type: ignore[no-untyped-call]
    assert connectors["eic"] is InstanceConnect
    declared = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert declared
    assert distribution("voice-stack-provisioning").version == declared[1]


def test_the_inventory_is_what_the_environment_says() -> None:
    assert environment.read({}).inventory == "@eic/tag:Role=voice"
    assert environment.read({"VOICE_TAG": "A=b;C=d", "VOICE_CONNECT": "tunnel"}).inventory == "@eic/tag:A=b;C=d"
    assert environment.read({"VOICE_CONNECT": "ssh"}).inventory == "@ec2/tag:Role=voice"
    with pytest.raises(EnvironmentVariableError, match="VOICE_CONNECT: 'telnet' must be one of instance-connect, tun"):
        environment.read({"VOICE_CONNECT": "telnet"})


def test_hosts_have_the_groups_and_the_data_of_production(ec2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICE_DOMAIN", "voice.example.org")
    made = launch(ec2, "one")
    host = inventory()["one"]
    assert {"voice", "prod"} <= set(host.groups)
    assert host.data.get("eic_instance") == made
    assert host.data.get("eic_zone").startswith(REGION)
    assert host.data.get("eic_region") == REGION
    assert host.data.get("eic_address").endswith(".compute.amazonaws.com")
    assert host.data.get("site_domain") == "voice.example.org"
    assert (host.data.get("ssh_user"), host.data.get("_sudo")) == ("ubuntu", True)


def test_two_instances_of_one_name_are_two_hosts(ec2: Any) -> None:
    """pyinfra would take them for one."""
    ids = [launch(ec2, "voice"), launch(ec2, "voice")]
    assert sorted(inventory()) == sorted(f"voice.{each}" for each in ids)


def test_all_of_several_tags_must_match(ec2: Any) -> None:
    for name, stage in (("second", "prod"), ("first", "prod"), ("old", "test")):
        launch(ec2, name, Stage=stage)
    assert list(inventory("@eic/tag:Role=voice;Stage=prod")) == ["first", "second"]


def test_missing_and_stopped_instances_are_said_clearly(ec2: Any) -> None:
    with pytest.raises(InstancesError, match="no EC2 instance in eu-central-1 with Role=voice"):
        inventory()
    ec2.stop_instances(InstanceIds=[launch(ec2, "asleep")])
    with pytest.raises(InstancesError, match=r"asleep \(i-\w+\) is stopped. Start them"):
        inventory()


def test_an_instance_without_a_public_address_needs_the_tunnel(ec2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    launch(ec2, "inner", where=subnet)
    with pytest.raises(InstancesError, match="inner has no public address: VOICE_CONNECT=tunnel"):
        inventory()
    monkeypatch.setenv("VOICE_CONNECT", "tunnel")
    host = inventory()["inner"]
    assert host.data.get("eic_address").startswith("10.0.0.")
    assert (host.data.get("eic_vpc"), host.data.get("eic_subnet")) == (vpc, subnet)


def test_a_role_is_assumed_when_one_is_named(ec2: Any) -> None:
    plain = Account(REGION).credentials()
    assumed = Account(REGION, "arn:aws:iam::123456789012:role/voice-deploy").credentials()
    assert assumed.access_key != plain.access_key
    assert assumed.token


# --- host keys ----------------------------------------------------------------------------------------------------


def test_the_console_of_the_last_boot_that_printed_keys_counts() -> None:
    old, new = new_key(), new_key()
    assert host_keys.in_console_output(console(public(old)) + console(public(new))) == (new,)


def test_a_console_without_a_whole_block_names_no_key() -> None:
    text = console(public(new_key()))
    assert host_keys.in_console_output(text[: text.index("-----END SSH HOST KEY KEYS")]) == ()
    assert host_keys.in_console_output(text[text.index("ssh-ed25519") :]) == ()
    assert host_keys.in_console_output("") == ()


def test_a_line_that_the_kernel_wrote_into_is_no_key() -> None:
    broken, whole = public(new_key()), new_key()
    torn = f"{broken[:40]}[   14.2] audit: type=1400\r\n{broken[40:]}"
    assert host_keys.in_console_output(console(torn, public(whole))) == (whole,)
    cut = f"{broken.split()[0]} {broken.split()[1][:-8]}"
    assert host_keys.in_console_output(console(cut)) == ()


def test_ed25519_is_asked_for_first_and_rsa_never() -> None:
    """paramiko 4 would put ssh-rsa, which is SHA-1, first if an RSA key were expected."""
    ed25519, ecdsa, rsa = new_key(), paramiko.ECDSAKey.generate(), paramiko.RSAKey.generate(2048)
    found = host_keys.in_console_output(console(public(rsa), public(ecdsa), public(ed25519)))
    assert [key.get_name() for key in found] == ["ssh-ed25519", "ecdsa-sha2-nistp256"]


GOOD = "i-1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGxhYm9yYXRvcnktb25seS1ob3N0LWtleS0wMDAwMDA="


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"  i-2 ssh-ed25519 AAAAC3Nza", "line 2: its key is not whole (base64); correct the line, or remove it"),
        ("i-2 ssh-ed25519 AAAA # Köln".encode("latin-1"), "line 2: is not UTF-8; correct the line, or remove it"),
    ],
)
def test_a_line_that_cannot_be_read_fails_this_host_and_not_the_run(tmp_path: Path, line: bytes, said: str) -> None:
    """Pyinfra fails a host for a ConnectError; anything else ends every host's run with a traceback."""
    file = tmp_path / "known"
    file.write_bytes(f"{GOOD}\n".encode() + line + b"\n")
    with pytest.raises(ConnectError) as caught:
        host_keys.in_known_hosts(file, "i-1")
    assert str(caught.value) == f"{file} {said}"


def test_a_file_of_keys_that_cannot_be_read_or_written_fails_the_host_too(tmp_path: Path) -> None:
    with pytest.raises(ConnectError, match=": cannot be read: Is a directory"):
        host_keys.in_known_hosts(tmp_path, "i-1")
    (tmp_path / "file").touch()
    with pytest.raises(ConnectError, match="cannot be written into it: File exists"):
        host_keys.remember(tmp_path / "file" / "known", "i-1", new_key())


def test_a_key_is_remembered_once_and_on_a_line_of_its_own(tmp_path: Path) -> None:
    key, file = new_key(), tmp_path / "ssh" / "known"
    host_keys.remember(file, "i-1", key)
    host_keys.remember(file, "i-1", key)
    assert host_keys.in_known_hosts(file, "i-1") == (key,)
    assert host_keys.in_known_hosts(file, "i-2") == ()
    file.write_text(file.read_text().rstrip("\n"))  # as an editor may leave it
    host_keys.remember(file, "i-2", key)
    assert host_keys.in_known_hosts(file, "i-1") == host_keys.in_known_hosts(file, "i-2") == (key,)
    assert file.read_text().count("\n") == 2
