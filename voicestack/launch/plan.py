"""All parts of a host in the order in which they are made; each asks for what is there and says what would be done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from voicestack.launch import address, group, instance, place, role, volume
from voicestack.launch.calls import Aws, LaunchError, say
from voicestack.launch.parts import HostPart, Known
from voicestack.launch.wishes import Wish

LEFT = (
    "What was done until here stays; run this again, it goes on from there. Wait a minute before that: what is new may "
    "not be found by its tags yet, and would be made twice."
)

Found = TypeVar("Found")


def identify(aws: Aws) -> Known:
    """Whose account it is; asking that needs no permission."""
    caller = aws.call("sts", "get_caller_identity")
    return Known(account=caller["Account"], partition=caller["Arn"].split(":")[1])


def plan_host(aws: Aws, wish: Wish, known: Known) -> list[HostPart]:
    """What there is and what would be done, everything that cannot work included. Changes nothing."""
    parts = [_part("role", role.plan_role, aws, wish, known)]
    host, no_host = _ask(instance.find_instance, aws, wish)
    disk, no_disk = _ask(volume.find_volume, aws, wish)
    if no_host or no_disk:
        return [*parts, HostPart("instance", refusals=no_host), HostPart("models volume", refusals=no_disk)]
    if host:
        known.instance, known.zone = host["InstanceId"], host["Placement"]["AvailabilityZone"]
        known.subnet, known.vpc = host["SubnetId"], host["VpcId"]
        parts.append(_part("security group", group.plan_group, aws, wish, known))
        parts.append(instance.plan_instance(aws, wish, known, host))
    else:
        where, no_place = _ask(place.find_place, aws, wish, disk["AvailabilityZone"] if disk else "")
        of, no_image = _ask(place.find_image, aws, wish)
        if where is None or of is None:
            return [*parts, HostPart("instance", refusals=[*no_place, *no_image])]
        known.subnet, known.zone, known.vpc = where.subnet, where.zone, where.vpc
        parts.append(_part("security group", group.plan_group, aws, wish, known))
        parts.append(instance.plan_launch(aws, wish, known, where, of))
    parts.append(volume.plan_volume(aws, wish, known, disk, host))
    parts.append(_part("address", address.plan_address, aws, wish, known))
    parts.append(_part("protection", instance.plan_protection, aws, known))
    return parts if host else [*parts, instance.plan_checks(aws, known)]


def make(parts: list[HostPart]) -> None:
    """Make every change, in order.

    Raises:
        LaunchError: one could not be made; those before it stay.
    """
    for part in parts:
        for change in part.changes:
            say(f"  {part.thing}: {change.text}")
            try:
                change.do()
            except LaunchError as error:
                raise LaunchError(f"{error}\n{LEFT}") from error


def _ask(question: Callable[..., Found], *about: Any) -> tuple[Found | None, list[str]]:
    """The answer, or why there is none."""
    try:
        return question(*about), []
    except LaunchError as error:
        return None, [str(error)]


def _part(thing: str, plan: Callable[..., None], *about: Any) -> HostPart:
    part = HostPart(thing)
    part.refusals += _ask(plan, part, *about)[1]
    return part
