"""Which EC2 instances are voice hosts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import NoCredentialsError
from pyinfra import logger
from pyinfra.api.exceptions import PyinfraError
from pyinfra.connectors.base import BaseConnector

from voicestack.aws import REFUSALS, Account, account
from voicestack.connect import environment, models_volume, prerequisites
from voicestack.settings.group_data import flat

USER = "ubuntu"
"""Of Ubuntu's images; `--ssh-user admin` for Debian's."""

ALIVE = ["pending", "running", "stopping", "stopped"]
"""The states of an instance that was not ended."""

GROUPS = ["voice", "prod"]
"""The inventory groups of every instance found, be it by inventories/prod.py or by @eic/... on the command line."""


class InstancesError(PyinfraError):
    """No usable instance was found; the message says what was found instead."""


class Ec2Inventory(BaseConnector):
    """`pyinfra @ec2/tag:Role=voice ...`: the running instances with these tags, by ssh with the operator's keys."""

    @staticmethod
    def make_names_data(name: str) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
        """Name, data and groups of each instance that `name` ("tag:KEY=VALUE") chooses.

        Raises:
            InstancesError: see chosen_instances.
        """
        wanted = environment.read()
        for host, found in chosen_instances(name, wanted).items():
            data = {"ssh_hostname": public_address(host, found), "ssh_strict_host_key_checking": "yes"}
            yield host, {**common_data(host, found, wanted), **data}, list(GROUPS)


def common_data(name: str, instance: dict[str, Any], wanted: environment.Environment) -> dict[str, Any]:
    """The data of a host that does not depend on how it is reached."""
    device = models_volume.device_of(instance)
    if models_volume.is_ours(instance) and not device:
        logger.warning(
            f"{name} belongs to voicestack.launch, and no volume for its weights is attached to it: a deploy would put "
            "them onto its root disk. Run python -m voicestack.launch first"
        )
    volume = {"weights_volume": device} if device else {}
    return {"ssh_user": USER, "_sudo": True, "eic_region": wanted.region, **volume, **wanted.site}


def public_address(name: str, instance: dict[str, Any]) -> str:
    """Where to connect to from the internet: a DNS name or an address.

    Raises:
        InstancesError: nowhere.
    """
    public = instance.get("PublicDnsName") or instance.get("PublicIpAddress")
    if not public:
        raise InstancesError(
            f"{name} has no public address: VOICE_CONNECT=tunnel goes through an EC2 Instance Connect Endpoint"
        )
    return str(public)


def chosen_instances(chosen: str, wanted: environment.Environment) -> dict[str, dict[str, Any]]:
    """Name -> what EC2 says of it, of the running instances that `chosen` ("tag:KEY=VALUE", more after ";") names.

    The name is the Name tag, or the id without one; both where two share a tag, which pyinfra would take for one host.

    Raises:
        InstancesError: EC2 cannot be asked, there is none, or one that matches does not run; the message also lists
            what else a first run would be refused for.
    """
    try:
        return _running(chosen, account(wanted.region, wanted.role_arn))
    except InstancesError as error:
        known = {**flat(GROUPS[-1], []), **wanted.site}
        raise InstancesError(prerequisites.listed(str(error), os.environ, known)) from error


def _running(chosen: str, account: Account) -> dict[str, dict[str, Any]]:
    tags = tags_of(chosen)
    alive = {"Name": "instance-state-name", "Values": ALIVE}
    filters = [*({"Name": f"tag:{key}", "Values": [value]} for key, value in tags), alive]
    said = f"{account.region} with {' and '.join(f'{key}={value}' for key, value in tags)}"
    try:
        pages = account.client("ec2").get_paginator("describe_instances").paginate(Filters=filters)
        found = list(pages.search("Reservations[].Instances[]"))
    except NoCredentialsError as error:
        raise InstancesError(
            f"AWS credentials: EC2 in {account.region} cannot be asked ({error}); {prerequisites.CREDENTIALS}"
        ) from error
    except REFUSALS as error:
        raise InstancesError(
            f"EC2 in {account.region} cannot be asked (needs ec2:DescribeInstances): {error}"
        ) from error
    if not found:
        raise InstancesError(
            f"VOICE_TAG: there is no EC2 instance in {said}; are tag, VOICE_REGION and the account right? "
            "python -m voicestack.launch makes one"
        )
    idle = [each for each in found if each["State"]["Name"] != "running"]
    if idle:
        states = "; ".join(f"{name_of(each)} ({each['InstanceId']}) is {each['State']['Name']}" for each in idle)
        raise InstancesError(f"of the instances in {said} some do not run: {states}. Start them, or take the tag away")
    shared = Counter(map(name_of, found))
    named = {
        name_of(each) if shared[name_of(each)] == 1 else f"{name_of(each)}.{each['InstanceId']}": each for each in found
    }
    return dict(sorted(named.items()))


def tags_of(chosen: str) -> list[tuple[str, str]]:
    """The tags that `chosen` ("tag:KEY=VALUE", more after ";") names.

    Raises:
        InstancesError: it is not of that form, or names a key twice, of which an instance has one.
    """
    given = [tag.partition("=") for tag in chosen.removeprefix("tag:").split(";")]
    pairs = [(key.strip(), value.strip()) for key, equals, value in given if equals and key.strip()]
    if not chosen.startswith("tag:") or len(dict(pairs)) < len(given):
        raise InstancesError(
            f"{chosen!r} must be tag:KEY=VALUE, more than one with ';' between them, each key once (see VOICE_TAG)"
        )
    return pairs


def name_of(instance: dict[str, Any]) -> str:
    """Its Name tag, or its id."""
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
    return str(tags.get("Name") or instance["InstanceId"])
