"""The stand-in for EC2 and EC2 Instance Connect refuses what AWS refuses; asked with botocore."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.credentials
import botocore.session
import pytest
import websocket
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.lab import aws
from tests.lab.ec2.endpoint import Endpoint
from tests.lab.ec2.server import Ec2Server, Instance
from voicestack.connect import tunnel
from voicestack.connect.pushed_key import new_key

LINE = f"ssh-ed25519 {new_key().get_base64()} test"


@pytest.fixture
def server() -> Iterator[Ec2Server]:
    made = Ec2Server()
    made.instances = [Instance("one")]
    made.in_background()
    yield made
    made.shutdown()
    made.server_close()


def client(server: Ec2Server, service: str, secret: str = aws.USER.secret_access_key) -> Any:
    return botocore.session.get_session().create_client(
        service,
        region_name=aws.REGION,
        endpoint_url=server.url,
        aws_access_key_id=aws.USER.access_key_id,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}),
    )


def push(server: Ec2Server, secret: str = aws.USER.secret_access_key, **changed: str) -> None:
    asked = {"InstanceId": server.instances[0].id, "InstanceOSUser": "ubuntu", "SSHPublicKey": LINE, **changed}
    client(server, "ec2-instance-connect", secret).send_ssh_public_key(**asked)


def keys(server: Ec2Server, user: str = "ubuntu") -> str:
    """What a host's sshd hears."""
    url = f"{server.url}/active-keys/{server.instances[0].id}/{user}"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode()).strip()


def test_a_key_is_good_for_its_user_for_60_seconds(server: Ec2Server) -> None:
    push(server)
    assert keys(server) == LINE
    assert keys(server, "root") == ""
    server.later_s = 59
    assert keys(server) == LINE
    server.later_s = 61
    assert keys(server) == ""


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"secret": "wrong"}, "InvalidSignatureException"),
        ({"InstanceId": "i-0123456789abcdef0"}, "EC2InstanceNotFoundException"),
        ({"SSHPublicKey": "ssh-dss " + LINE}, "InvalidArgsException"),
    ],
)
def test_what_is_wrong_is_refused(server: Ec2Server, changed: dict[str, str], code: str) -> None:
    with pytest.raises(ClientError) as caught:
        push(server, **changed)
    assert caught.value.response["Error"]["Code"] == code
    assert not server.pushed


def test_an_instance_that_does_not_run_gets_no_key(server: Ec2Server) -> None:
    server.instances[0].state = "stopped"
    with pytest.raises(ClientError, match="EC2InstanceStateInvalidException"):
        push(server)


def test_the_newest_console_output_is_for_nitro_instances(server: Ec2Server) -> None:
    server.instances[0].nitro = False
    server.instances[0].console = "booted"
    ec2, asked = client(server, "ec2"), {"InstanceId": server.instances[0].id}
    with pytest.raises(ClientError, match="UnsupportedOperation"):
        ec2.get_console_output(**asked, Latest=True)
    assert ec2.get_console_output(**asked)["Output"] == "booted"


class Signer:
    """An account as voicestack/connect/tunnel.py needs it."""

    region = aws.REGION

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def credentials(self) -> Any:
        return botocore.credentials.Credentials(aws.USER.access_key_id, self._secret)


@pytest.mark.parametrize(
    ("secret", "seconds", "admitted"),
    [(aws.USER.secret_access_key, 60, True), ("wrong", 60, False), (aws.USER.secret_access_key, -60, False)],
)
def test_a_tunnel_is_for_who_signs_and_not_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str, seconds: int, admitted: bool
) -> None:
    monkeypatch.setattr(tunnel, "_SIGNED_S", seconds)
    made = Endpoint(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.certificate))
    with socket.create_server(("127.0.0.1", 0)) as target:
        about: Any = {"InstanceConnectEndpointId": "eice-1", "DnsName": made.name}
        signer: Any = Signer(secret)
        url = tunnel.url(signer, about, "127.0.0.1", target.getsockname()[1])
        if admitted:
            opened = websocket.create_connection(url, timeout=5)
            opened.send_binary(b"hello")
            assert target.accept()[0].recv(5) == b"hello"
            opened.close()
        else:
            with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
                websocket.create_connection(url, timeout=5)
    made.stop()
