"""An account in moto, every call to it, and what AWS refuses and moto does not."""

from __future__ import annotations

import datetime
import functools
from typing import Any

import boto3
import botocore.client
import pytest
from botocore.exceptions import ClientError
from moto.ec2.models import ec2_backends
from moto.ssm.models import Parameter, ssm_backends

from tests.programs.instances import launch, tagged
from voicestack.launch.__main__ import main

REGION = "eu-central-1"
ACCOUNT = "123456789012"
IMAGE = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
READS = ("Describe", "Get", "List")
NETWORK = "203.0.113.7/32"
PORTS = {
    ("tcp", 80, 80, "0.0.0.0/0"),
    ("tcp", 443, 443, "0.0.0.0/0"),
    ("tcp", 7881, 7881, "0.0.0.0/0"),
    ("udp", 3478, 3478, "0.0.0.0/0"),
    ("udp", 50000, 50199, "0.0.0.0/0"),
    ("udp", 50200, 50299, "0.0.0.0/0"),
    ("tcp", 22, 22, NETWORK),
}
"""Protocol, first and last port, and from where: what a host with the settings of group_data lets in."""


@functools.cache
def _client(service: str) -> Any:
    """The test's own; made once, for making one takes longer than most of what is asked of it."""
    return boto3.client(service, region_name=REGION)


def publish_image(ec2: Any) -> str:
    """Canonical's public parameter, and the image that it names: moto has neither."""
    image = str(ec2.register_image(Name="ubuntu-noble-24.04-amd64-server", RootDeviceName="/dev/sda1")["ImageId"])
    ec2_backends[ACCOUNT][REGION].amis[image].architecture = "x86_64"
    now = datetime.datetime.now(datetime.timezone.utc)
    about = (ACCOUNT, IMAGE, image, "String", None, None, None, now, 1, "aws:ec2:image")
    parameter = Parameter(*about)  # type: ignore[abstract]  # moto's own way to make one
    ssm_backends[ACCOUNT][REGION]._parameters[IMAGE] = [parameter]
    return image


class Cloud:
    """EC2, IAM, SSM and STS as moto has them; `calls` is every call of a run: service, operation, arguments."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.refuses: dict[str, list[tuple[str, str]]] = {}
        """Operation -> codes and words that its next calls are refused with, one a call; one without a code is not."""
        self.answers: dict[str, dict[str, Any]] = {}
        """Operation -> what is answered where moto has none."""
        self.answers_once: dict[str, list[dict[str, Any]]] = {}
        """Operation -> what its next calls are answered, one a call, before moto is asked."""
        self.ec2, self.iam = _client("ec2"), _client("iam")
        self.image = publish_image(self.ec2)
        self._intercept(monkeypatch)

    @property
    def changes(self) -> list[str]:
        """The operations asked for that change something."""
        return [operation for _, operation, _ in self.calls if not operation.startswith(READS)]

    def arguments(self, operation: str) -> dict[str, Any]:
        """Of the one call of this operation."""
        (found,) = [arguments for _, name, arguments in self.calls if name == operation]
        return found

    def launch(self, *words: str) -> int:
        """The command's exit status; `calls` is of this run alone."""
        self.calls.clear()
        return main([*words])

    def instance(self) -> dict[str, Any]:
        """The one that lives."""
        alive = [{"Name": "instance-state-name", "Values": ["running", "stopped"]}]
        (found,) = self.ec2.describe_instances(Filters=alive)["Reservations"]
        return dict(found["Instances"][0])

    def volume(self) -> dict[str, Any]:
        """The one for models."""
        (found,) = self.ec2.describe_volumes(Filters=[{"Name": "tag:voice-part", "Values": ["models"]}])["Volumes"]
        return dict(found)

    def make_volume(self, zone: str = f"{REGION}a") -> str:
        """A models volume as an earlier launch left it; its id."""
        tags = tagged("volume", **{"Role": "voice", "voice-part": "models"})
        made = self.ec2.create_volume(
            AvailabilityZone=zone, Size=50, VolumeType="gp3", Encrypted=True, TagSpecifications=tags
        )
        return str(made["VolumeId"])

    def make_host(self) -> str:
        """An instance that somebody made by hand and gave to this command; its id."""
        return launch(self.ec2, "voice", **{"voice-part": "host"})

    def attach(self, volume: str, host: str, device: str = "/dev/sdf", *, gone_with_it: bool = False) -> None:
        """As somebody does by hand; `gone_with_it` as the console's launch wizard does."""
        self.ec2.attach_volume(VolumeId=volume, InstanceId=host, Device=device)
        mapping = [{"DeviceName": device, "Ebs": {"DeleteOnTermination": gone_with_it}}]
        self.ec2.modify_instance_attribute(InstanceId=host, BlockDeviceMappings=mapping)

    def protected(self) -> bool:
        """Whether the instance that lives is protected from termination."""
        asked = {"InstanceId": self.instance()["InstanceId"], "Attribute": "disableApiTermination"}
        return bool(self.ec2.describe_instance_attribute(**asked)["DisableApiTermination"]["Value"])

    def rules(self) -> set[tuple[str, int, int, str]]:
        """What the host's security group lets in."""
        groups = self.ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["voice-host"]}])
        only = [{"Name": "group-id", "Values": [groups["SecurityGroups"][0]["GroupId"]]}]
        found = set()
        for each in self.ec2.describe_security_group_rules(Filters=only)["SecurityGroupRules"]:
            source = each.get("CidrIpv4") or each.get("CidrIpv6") or each.get("ReferencedGroupInfo", {}).get("GroupId")
            if not each["IsEgress"]:
                found.add((each["IpProtocol"], each["FromPort"], each["ToPort"], source))
        return found

    def free_address(self) -> None:
        """As AWS does when an instance ends; moto does not."""
        for each in self.ec2.describe_addresses()["Addresses"]:
            if "AssociationId" in each:
                self.ec2.disassociate_address(AssociationId=each["AssociationId"])

    def _intercept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        really = botocore.client.BaseClient._make_api_call

        def call(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
            if client is not self.ec2 and client is not self.iam:
                self.calls.append((client.meta.service_model.service_name, operation, arguments))
                if self.refuses.get(operation):
                    code, words = self.refuses[operation].pop(0)
                    if code:
                        raise ClientError({"Error": {"Code": code, "Message": words}}, operation)
                if self.answers_once.get(operation):
                    return self.answers_once[operation].pop(0)
                if operation in self.answers:
                    return self.answers[operation]
            return really(client, operation, arguments)

        monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", call)
