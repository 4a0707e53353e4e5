"""Which EC2 instances are voice hosts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from pyinfra.api.exceptions import PyinfraError


class InstancesError(PyinfraError):
    """No usable instance was found; the message says what was found instead."""


@dataclass(frozen=True)
class Instance:
    """A running instance: its Name tag (or its id) and the address to connect to."""

    name: str
    address: str


def running_instances(tag: str, *, region: str, client: Any = None) -> list[Instance]:
    """The running instances that carry `tag` ("KEY=VALUE") in `region`, by name.

    Raises:
        InstancesError: if EC2 cannot be asked, there is none, or one that matches does not run or has no address.
    """
    key, separator, value = tag.partition("=")
    if not separator:
        raise InstancesError(f"VOICE_TAG: {tag!r} must be KEY=VALUE")
    client = client or boto3.client("ec2", region_name=region)
    try:
        found = list(_matching(client, key, value))
    except (BotoCoreError, ClientError) as error:
        raise InstancesError(f"EC2 in {region} cannot be asked (needs ec2:DescribeInstances): {error}") from error
    if not found:
        raise InstancesError(f"no EC2 instance in {region} has the tag {tag}")
    problems = [
        f"{_name(each)} is {each['State']['Name']}"
        if each["State"]["Name"] != "running"
        else f"{_name(each)} has no address"
        for each in found
        if each["State"]["Name"] != "running" or not _address(each)
    ]
    if problems:
        raise InstancesError(f"instances with the tag {tag} in {region} cannot be deployed: {'; '.join(problems)}")
    return sorted((Instance(_name(each), _address(each)) for each in found), key=lambda each: each.name)


def _matching(client: Any, key: str, value: str) -> Iterator[dict[str, Any]]:
    alive = ["pending", "running", "stopping", "stopped"]
    filters = [
        {"Name": f"tag:{key}", "Values": [value]},
        {"Name": "instance-state-name", "Values": alive},
    ]
    for page in client.get_paginator("describe_instances").paginate(Filters=filters):
        for reservation in page["Reservations"]:
            yield from reservation["Instances"]


def _name(instance: dict[str, Any]) -> str:
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
    return str(tags.get("Name") or instance["InstanceId"])


def _address(instance: dict[str, Any]) -> str:
    return str(instance.get("PublicDnsName") or instance.get("PublicIpAddress") or "")
