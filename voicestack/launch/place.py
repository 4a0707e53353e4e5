"""Where a new instance can be (in a zone that offers its type, with a subnet, by the models volume), and of what."""

from __future__ import annotations

from typing import Any, NamedTuple

from voicestack.launch.calls import Aws, LaunchError
from voicestack.launch.wishes import Wish


class Place(NamedTuple):
    """A subnet, its availability zone and VPC, and the other zones where it could be as well."""

    subnet: str
    zone: str
    vpc: str
    others: tuple[str, ...]


def find_place(aws: Aws, wish: Wish, volume_zone: str) -> Place:
    """Where to launch; `volume_zone` is where the models volume is, or empty.

    Raises:
        LaunchError: there is no such place, or EC2 cannot be asked.
    """
    kind = wish.settings.launch.instance_type
    offers = aws.call(
        "ec2",
        "describe_instance_type_offerings",
        LocationType="availability-zone",
        Filters=[{"Name": "instance-type", "Values": [kind]}],
    )["InstanceTypeOfferings"]
    default = {"Filters": [{"Name": "default-for-az", "Values": ["true"]}]}
    those = {"SubnetIds": [wish.operator.subnet]} if wish.operator.subnet else default
    subnets = aws.call("ec2", "describe_subnets", **those)["Subnets"]
    return choose(wish, volume_zone, sorted(each["Location"] for each in offers), subnets)


def choose(wish: Wish, volume_zone: str, offered: list[str], subnets: list[dict[str, Any]]) -> Place:
    """The place among these zones and subnets. Pure.

    Raises:
        LaunchError: there is none; the message says which zones would do.
    """
    kind, asked, region = wish.settings.launch.instance_type, wish.settings.launch.zone, wish.operator.region
    by_zone = {each["AvailabilityZone"]: each for each in subnets}
    if not offered:
        raise LaunchError(f"launch_instance_type: {region} does not offer {kind}")
    if not by_zone:
        raise LaunchError(f"VOICE_SUBNET: {region} has no default VPC with subnets; name a public subnet")
    if volume_zone and asked not in ("", volume_zone):
        raise LaunchError(f"launch_zone: {asked}, but the models volume is in {volume_zone}; {_MOVE}")
    zone = volume_zone or asked or next((each for each in sorted(by_zone) if each in offered), sorted(by_zone)[0])
    if zone not in offered:
        where = f"in {zone}, where the models volume is; {_MOVE}" if volume_zone else f"in {zone}"
        raise LaunchError(f"{kind} is offered in {', '.join(offered)}, not {where}")
    if zone not in by_zone:
        have = f"{wish.operator.subnet} is in" if wish.operator.subnet else "there are default ones in"
        raise LaunchError(f"VOICE_SUBNET: a subnet in {zone} is needed; {have} {', '.join(sorted(by_zone))}")
    others = () if volume_zone else tuple(each for each in offered if each != zone and each in by_zone)
    return Place(by_zone[zone]["SubnetId"], zone, by_zone[zone]["VpcId"], others)


def find_image(aws: Aws, wish: Wish) -> dict[str, Any]:
    """The image that launch_image names today, as EC2 describes it.

    Raises:
        LaunchError: there is none, or it is for another kind of processor.
    """
    parameter, region = wish.settings.launch.image, wish.operator.region
    try:
        named = aws.call("ssm", "get_parameter", Name=parameter)["Parameter"]["Value"]
    except LaunchError as error:
        if error.code == "ParameterNotFound":
            raise LaunchError(f"launch_image: SSM in {region} has no public parameter {parameter}") from error
        raise
    images = aws.call("ec2", "describe_images", ImageIds=[named])["Images"]
    if not images:
        raise LaunchError(f"launch_image: {parameter} names {named}, which {region} does not have")
    image = images[0]
    if image["Architecture"] != "x86_64":
        raise LaunchError(f"launch_image: {image['Name']} is for {image['Architecture']}; the stack needs x86_64")
    return dict(image)


_MOVE = (
    "a volume stays in its zone: to move it, make an encrypted gp3 volume of a snapshot of it in the other zone, and "
    "give that its tags in place of the old one"
)
