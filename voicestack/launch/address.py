"""The address that callers' DNS names: an Elastic IP, which stays when the instance goes."""

from __future__ import annotations

from functools import partial

from voicestack.launch.calls import Aws
from voicestack.launch.parts import HostPart, Known, Step
from voicestack.launch.wishes import Wish

THING = "address"
PART = "address"


def plan_address(aws: Aws, wish: Wish, known: Known) -> HostPart:
    """Whether there is one, and whether it is the instance's.

    Raises:
        LaunchError: EC2 cannot be asked.
    """
    part = HostPart(THING)
    addresses = aws.call("ec2", "describe_addresses", Filters=wish.filters(PART))["Addresses"]
    if len(addresses) > 1:
        shown = ", ".join(each["PublicIp"] for each in addresses)
        part.refusals.append(f"{shown} are all tagged {wish.shown_tags} and as the address: untag all but one")
        return part
    if not addresses:
        part.changes.append(Step("allocate an Elastic IP", lambda: _allocate(aws, wish, known)))
        holder = ""
    else:
        known.allocation, known.address = addresses[0]["AllocationId"], addresses[0]["PublicIp"]
        holder = addresses[0].get("InstanceId") or addresses[0].get("NetworkInterfaceId") or ""
        part.found = known.address
    if holder and holder != known.instance:
        part.refusals.append(f"{known.address} belongs to {holder}: disassociate it there first")
    elif not holder:
        part.changes.append(Step("give it to the instance", partial(_associate, aws, known)))
    return part


def _allocate(aws: Aws, wish: Wish, known: Known) -> None:
    made = aws.change("ec2", "allocate_address", Domain="vpc", TagSpecifications=wish.specification("elastic-ip", PART))
    known.allocation, known.address = made["AllocationId"], made["PublicIp"]


def _associate(aws: Aws, known: Known) -> None:
    both = {"AllocationId": known.allocation, "InstanceId": known.instance}
    aws.change("ec2", "associate_address", **both, AllowReassociation=False)
