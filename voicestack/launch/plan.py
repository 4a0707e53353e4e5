"""All parts of a host in the order in which they are made; each asks for what is there and says what would be done."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from voicestack.launch import address, first_start, group, image, instance, place, role, volume
from voicestack.launch.calls import Aws, LaunchError
from voicestack.launch.parts import Known, Part, Say
from voicestack.launch.wishes import Wish

LEFT = (
    "What was done until here stays; run this again, it goes on from there. Wait a minute before that: what is new may "
    "not be found by its tags yet, and would be made twice."
)

Found = TypeVar("Found")


def identify(aws: Aws) -> Known:
    """Whose account it is; asking that needs no permission.

    Raises:
        LaunchError: there are no usable credentials.
    """
    caller = aws.call("sts", "get_caller_identity")
    return Known(account=caller["Account"], partition=caller["Arn"].split(":")[1])


def examine(aws: Aws, wish: Wish, known: Known, say: Say) -> list[Part]:
    """What there is and what would be done, everything that cannot work included. Changes nothing."""
    parts = [_part(role.THING, lambda: role.examine(aws, wish, known))]
    host, no_host = _ask(lambda: instance.find(aws, wish))
    disk, no_disk = _ask(lambda: volume.find(aws, wish))
    if no_host or no_disk:
        return [*parts, Part(instance.THING, refusals=no_host), Part(volume.THING, refusals=no_disk)]
    if host:
        known.instance, known.zone = host["InstanceId"], host["Placement"]["AvailabilityZone"]
        known.subnet, known.vpc = host["SubnetId"], host["VpcId"]
        parts.append(_part(group.THING, lambda: group.examine(aws, wish, known)))
        parts.append(instance.examine(aws, wish, known, host, say))
    else:
        where, no_place = _ask(lambda: place.find(aws, wish, disk["AvailabilityZone"] if disk else ""))
        of, no_image = _ask(lambda: image.find(aws, wish))
        if where is None or of is None:
            return [*parts, Part(instance.THING, refusals=[*no_place, *no_image])]
        known.subnet, known.zone, known.vpc = where.subnet, where.zone, where.vpc
        parts.append(_part(group.THING, lambda: group.examine(aws, wish, known)))
        parts.append(first_start.examine(aws, wish, known, where, of, say))
    parts.append(volume.examine(aws, wish, known, disk, host, say))
    parts.append(_part(address.THING, lambda: address.examine(aws, wish, known)))
    parts.append(_part("protection", lambda: instance.protection(aws, known)))
    return parts if host else [*parts, first_start.checks(aws, known, say)]


def make(parts: list[Part], say: Say) -> None:
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


def _ask(question: Callable[[], Found]) -> tuple[Found | None, list[str]]:
    """The answer, or why there is none."""
    try:
        return question(), []
    except LaunchError as error:
        return None, [str(error)]


def _part(thing: str, question: Callable[[], Part]) -> Part:
    part, refusals = _ask(question)
    return part or Part(thing, refusals=refusals)
