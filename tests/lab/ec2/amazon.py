"""AWS over TLS, as boto3 speaks to it: moto behind a port of its own, with what moto leaves out of a host's access.

Instances have the address and the console that a test gives them, and a key that is pushed to one arrives somewhere.
moto's own server would need Flask; its accounts are this process's: one of these at a time.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders
from botocore.config import Config
from moto import mock_aws
from moto.core.models import botocore_stubber
from moto.core.responses import ActionResult
from moto.core.types import Base64EncodedString
from moto.ec2.models.instances import Instance
from moto.ec2.responses.general import General
from moto.ec2instanceconnect.responses import Ec2InstanceConnectResponse

from tests.lab.controlled import ControlledHandler, ControlledServer
from tests.lab.ec2.endpoint import certificate

REGION = "eu-central-1"
PROFILE = "operator"
"""The one that `AWS_CONFIG_FILE` of the environment has."""
_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")


class Amazon(ControlledServer):
    """The listening server, within `with`; `environment` is what an operator needs of it."""

    def __init__(self, directory: Path) -> None:
        self.addresses: dict[str, str] = {}
        """Instance -> where it is really reached; moto's own address is a random one."""
        self.consoles: dict[str, str] = {}
        """Instance -> what its console shows."""
        self.on_push: Callable[[str, str, str], object] = lambda instance, user, line: None
        """What brings a pushed key to the host: of which instance, for whom, the public key."""
        super().__init__(("127.0.0.1", 0), _Handler)
        trusted, key = certificate(directory)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(trusted, key)
        # The handshake is the connection's thread's: a client that does not come to its end holds up nobody else.
        self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.one_at_a_time = threading.Lock()
        self._account = ExitStack()
        profile = directory / "aws-config"
        profile.write_text(f"[profile {PROFILE}]\naws_access_key_id = testing\naws_secret_access_key = testing\n")
        self.environment = {
            "AWS_CONFIG_FILE": str(profile),
            "AWS_PROFILE": PROFILE,
            "AWS_ENDPOINT_URL": f"https://localhost:{self.server_port}",
            "AWS_CA_BUNDLE": str(trusted),
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def __enter__(self) -> Amazon:
        address = property(lambda its: self.addresses.get(its.id))
        for each in (
            mock_aws(),
            mock.patch.object(General, "get_console_output", _console(self)),
            mock.patch.object(Instance, "public_dns_name", address),
            mock.patch.object(Ec2InstanceConnectResponse, "send_ssh_public_key", _push(self)),
        ):
            self._account.enter_context(each)
        self.in_background()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self._account.close()

    def client(self, service: str) -> Any:
        """The test's own way to the account."""
        return boto3.client(service, region_name=REGION, config=Config(ignore_configured_endpoint_urls=True))


class _Handler(ControlledHandler):
    """One connection."""

    server: Amazon

    def route(self, path: str) -> None:
        """What moto answers to the service that the signature names."""
        scope = _SCOPE.search(self.headers.get("Authorization", ""))
        if scope is None:
            self.send_json({"__type": "MissingAuthenticationTokenException"}, 403)
            return
        url = f"https://{scope['service']}.{scope['region']}.amazonaws.com{self.path}"
        headers = HTTPHeaders.from_dict(dict(self.headers.items()))
        with self.server.one_at_a_time:
            answer = botocore_stubber.process_request(AWSPreparedRequest(self.command, url, headers, self.body, False))
        status, answered, body = answer or (404, {}, "")
        data = body.encode() if isinstance(body, str) else body
        self.send_content(status, answered.get("Content-Type", "text/xml"), data)


def _console(amazon: Amazon) -> Callable[[General], ActionResult]:
    def get_console_output(asked: General) -> ActionResult:
        instance = asked._get_param("InstanceId")
        text = Base64EncodedString.from_raw_string(amazon.consoles.get(instance, ""))
        return ActionResult({"InstanceId": instance, "Output": text})

    return get_console_output


def _push(amazon: Amazon) -> Callable[[Ec2InstanceConnectResponse], str]:
    def send_ssh_public_key(asked: Ec2InstanceConnectResponse) -> str:
        about = json.loads(asked.body)
        amazon.on_push(about["InstanceId"], about["InstanceOSUser"], about["SSHPublicKey"])
        return json.dumps({"RequestId": "1", "Success": True})

    return send_ssh_public_key
