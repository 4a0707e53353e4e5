"""The address that callers' DNS names: an Elastic IP, which stays when the instance goes."""

from __future__ import annotations

from voicestack.launch.calls import Aws
from voicestack.launch.parts import HostPart, Known
from voicestack.launch.wishes import Wish

PART = "address"


def plan_address(part: HostPart, aws: Aws, wish: Wish, known: Known) -> None:
    """Whether there is one, and whether it is the instance's."""
    addresses = aws.call("ec2", "describe_addresses", Filters=wish.filters(PART))["Addresses"]
    if len(addresses) > 1:
        shown = ", ".join(each["PublicIp"] for each in addresses)
        part.refusals.append(f"{shown} are all tagged {wish.shown_tags} and as the address: untag all but one")
        return
    holder = ""
    if addresses:
        known.allocation, known.address = addresses[0]["AllocationId"], addresses[0]["PublicIp"]
        holder = addresses[0].get("InstanceId") or addresses[0].get("NetworkInterfaceId") or ""
        part.found = known.address
    else:
        part.step("allocate an Elastic IP", _allocate, aws, wish, known)
    if holder and holder != known.instance:
        part.refusals.append(f"{known.address} belongs to {holder}: disassociate it there first")
    elif not holder:
        part.step("give it to the instance", _associate, aws, known)


def _allocate(aws: Aws, wish: Wish, known: Known) -> None:
    made = aws.change("ec2", "allocate_address", Domain="vpc", TagSpecifications=wish.specification("elastic-ip", PART))
    known.allocation, known.address = made["AllocationId"], made["PublicIp"]


def _associate(aws: Aws, known: Known) -> None:
    both = {"AllocationId": known.allocation, "InstanceId": known.instance}
    aws.change("ec2", "associate_address", **both, AllowReassociation=False)
