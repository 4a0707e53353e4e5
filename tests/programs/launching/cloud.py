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

from voicestack.launch.__main__ import main

REGION = "eu-central-1"
ACCOUNT = "123456789012"
IMAGE = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
READS = ("Describe", "Get", "List")
NETWORK = "203.0.113.7/32"


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

    def make_volume(self, zone: str = f"{REGION}a", *, encrypted: bool = True, size: int = 50) -> str:
        """A models volume as an earlier launch left it; its id."""
        tags = [{"Key": "Role", "Value": "voice"}, {"Key": "voice-part", "Value": "models"}]
        made = self.ec2.create_volume(
            AvailabilityZone=zone,
            Size=size,
            VolumeType="gp3",
            Encrypted=encrypted,
            TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
        )
        return str(made["VolumeId"])

    def make_instance(self, name: str, **tags: str) -> str:
        """One that nobody launched from here."""
        listed = [{"Key": key, "Value": value} for key, value in {"Name": name, "Role": "voice", **tags}.items()]
        subnet = self.ec2.describe_subnets()["Subnets"][0]["SubnetId"]
        made = self.ec2.run_instances(
            ImageId="ami-12345678",
            InstanceType="g6.xlarge",
            SubnetId=subnet,
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": listed}],
        )
        return str(made["Instances"][0]["InstanceId"])

    def rules(self) -> set[tuple[str, int, int, str]]:
        """What the host's security group lets in."""
        groups = self.ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["voice-host"]}])
        only = [{"Name": "group-id", "Values": [groups["SecurityGroups"][0]["GroupId"]]}]
        return {
            (
                each["IpProtocol"],
                each["FromPort"],
                each["ToPort"],
                each.get("CidrIpv4") or each["ReferencedGroupInfo"]["GroupId"],
            )
            for each in self.ec2.describe_security_group_rules(Filters=only)["SecurityGroupRules"]
            if not each["IsEgress"]
        }

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
