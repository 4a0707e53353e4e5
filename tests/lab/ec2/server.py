"""EC2 and EC2 Instance Connect, as far as @eic asks them.

GET /active-keys/INSTANCE/USER is what a host's AuthorizedKeysCommand asks; on a real host it is the metadata service
that says the same. Controls are methods: this server lives in a test's own process.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from dataclasses import dataclass, field
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from tests.lab.bedrock import signature
from tests.lab.bedrock.errors import Refused
from tests.lab.controlled import ControlledHandler, ControlledServer

VALID_S = 60
_TARGET = "AWSEC2InstanceConnectService."


@dataclass
class Instance:
    """An instance: its name, where its sshd listens, what its console shows."""

    name: str
    address: str = "127.0.0.1"
    console: str = ""
    state: str = "running"
    nitro: bool = True
    id: str = field(default_factory=lambda: f"i-{uuid.uuid4().hex[:17]}")


@dataclass(frozen=True)
class Pushed:
    """A key as it was pushed, for whom, and when by the server's clock."""

    instance: str
    user: str
    line: str
    time: float


class Ec2Server(ControlledServer):
    """The listening server with what it knows."""

    def __init__(self) -> None:
        self.instances: list[Instance] = []
        self.endpoint: str | None = None
        """HOST:PORT of an Instance Connect Endpoint in the instances' VPC."""
        self.pushed: list[Pushed] = []
        self.throttles = 0
        """So many pushes are still refused with a ThrottlingException."""
        self.denies: set[str] = set()
        """Names of actions that the caller may not do."""
        self.later_s = 0.0
        """How far the server's clock is ahead, for what it says about keys."""
        super().__init__(("127.0.0.1", 0), Ec2Handler)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def clock(self) -> float:
        """Its time."""
        return time.time() + self.later_s

    def active_keys(self, instance: str, user: str) -> list[str]:
        """The keys that are good now."""
        after = self.clock() - VALID_S
        mine = [key for key in self.pushed if (key.instance, key.user) == (instance, user)]
        return [key.line for key in mine if key.time >= after]


class Ec2Handler(ControlledHandler):
    """One connection."""

    server: Ec2Server

    def route(self, path: str) -> None:
        """A host's question, or a signed request of one of the two services."""
        if path.startswith("/active-keys/"):
            _, _, instance, user = path.split("/")
            self.send_content(200, "text/plain", "\n".join([*self.server.active_keys(instance, user), ""]).encode())
            return
        target = self.headers.get("X-Amz-Target", "")
        service = "ec2-instance-connect" if target.startswith(_TARGET) else "ec2"
        request = signature.Request(self.command, self.path, self.headers, self.body)
        try:
            signature.check(request, time.time(), service)
            if service == "ec2":
                self._ec2(dict(parse_qsl(self.body.decode())))
            else:
                self._connect(target.removeprefix(_TARGET), json.loads(self.body))
        except Refused as refused:
            self._refuse(service, refused)

    def _refuse(self, service: str, refused: Refused) -> None:
        self.entry["refused"] = refused.kind
        if service == "ec2":
            detail = f"<Code>{refused.kind}</Code><Message>{escape(refused.message)}</Message>"
            text = f"<Response><Errors><Error>{detail}</Error></Errors><RequestID>1</RequestID></Response>"
            self.send_content(refused.status, "text/xml", text.encode())
        else:
            self.send_json({"__type": refused.kind, "message": refused.message}, refused.status)

    def _check_allowed(self, action: str, kind: str) -> None:
        self.entry["action"] = action
        if action in self.server.denies:
            raise Refused(400, kind, f"User is not authorized to perform: {action}")

    def _connect(self, action: str, asked: dict[str, str]) -> None:
        """SendSSHPublicKey."""
        self._check_allowed(action, "AccessDeniedException")
        server = self.server
        if server.throttles:
            server.throttles -= 1
            raise Refused(400, "ThrottlingException", "Rate exceeded")
        found = next((each for each in server.instances if each.id == asked["InstanceId"]), None)
        if found is None:
            raise Refused(400, "EC2InstanceNotFoundException", "Instance not found")
        if found.state != "running":
            raise Refused(400, "EC2InstanceStateInvalidException", "Instance is not running")
        if not asked["SSHPublicKey"].startswith(("ssh-rsa ", "ssh-ed25519 ")):
            raise Refused(400, "InvalidArgsException", "Invalid SSH public key")
        server.pushed.append(Pushed(found.id, asked["InstanceOSUser"], asked["SSHPublicKey"], server.clock()))
        self.send_json({"RequestId": str(uuid.uuid4()), "Success": True})

    def _ec2(self, asked: dict[str, str]) -> None:
        action = asked["Action"]
        self._check_allowed(action, "UnauthorizedOperation")
        answers = {
            "DescribeInstances": self._instances,
            "GetConsoleOutput": self._console,
            "DescribeInstanceConnectEndpoints": self._endpoints,
        }
        if action not in answers:
            raise Refused(400, "InvalidAction", f"The action {action} is not valid for this web service.")
        text = f'<{action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">{answers[action](asked)}'
        self.send_content(200, "text/xml", f"{text}</{action}Response>".encode())

    def _instances(self, asked: dict[str, str]) -> str:
        items = "".join(map(_xml, self.server.instances))
        return f"<reservationSet><item><instancesSet>{items}</instancesSet></item></reservationSet>"

    def _console(self, asked: dict[str, str]) -> str:
        found = next(each for each in self.server.instances if each.id == asked["InstanceId"])
        if asked.get("Latest") == "true" and not found.nitro:
            raise Refused(400, "UnsupportedOperation", "This instance type does not support retrieving the latest.")
        output = base64.b64encode(found.console.encode()).decode()
        return f"<instanceId>{found.id}</instanceId><output>{output}</output>"

    def _endpoints(self, asked: dict[str, str]) -> str:
        if self.server.endpoint is None:
            return "<instanceConnectEndpointSet/>"
        fields = {
            "instanceConnectEndpointId": "eice-0123456789abcdef0",
            "state": "create-complete",
            "dnsName": self.server.endpoint,
            "vpcId": "vpc-1",
            "subnetId": "subnet-1",
        }
        item = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
        return f"<instanceConnectEndpointSet><item>{item}</item></instanceConnectEndpointSet>"


def _xml(instance: Instance) -> str:
    tags = "".join(
        f"<item><key>{key}</key><value>{value}</value></item>"
        for key, value in {"Name": instance.name, "Role": "voice"}.items()
    )
    return (
        f"<item><instanceId>{instance.id}</instanceId><instanceState><name>{instance.state}</name></instanceState>"
        f"<privateIpAddress>{instance.address}</privateIpAddress><ipAddress>{instance.address}</ipAddress>"
        "<placement><availabilityZone>eu-central-1a</availabilityZone></placement>"
        f"<subnetId>subnet-1</subnetId><vpcId>vpc-1</vpcId><tagSet>{tags}</tagSet></item>"
    )
