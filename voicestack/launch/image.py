"""The image of a new instance, by the public parameter that its publisher keeps in SSM."""

from __future__ import annotations

from typing import NamedTuple

from voicestack.launch.calls import Aws, LaunchError
from voicestack.launch.wishes import Wish


class Image(NamedTuple):
    """An AMI: its id, its publisher's name for it, and what its root volume is called."""

    id: str
    name: str
    root: str


def find(aws: Aws, wish: Wish) -> Image:
    """The image that launch_image names today.

    Raises:
        LaunchError: there is none, or it is for another kind of processor.
    """
    parameter = wish.settings.launch.image
    try:
        named = aws.call("ssm", "get_parameter", Name=parameter)["Parameter"]["Value"]
    except LaunchError as error:
        if error.code == "ParameterNotFound":
            raise LaunchError(f"launch_image: SSM in {wish.region} has no public parameter {parameter}") from error
        raise
    images = aws.call("ec2", "describe_images", ImageIds=[named])["Images"]
    if not images:
        raise LaunchError(f"launch_image: {parameter} names {named}, which {wish.region} does not have")
    image = images[0]
    if image["Architecture"] != "x86_64":
        raise LaunchError(f"launch_image: {image['Name']} is for {image['Architecture']}; the stack needs x86_64")
    return Image(named, image["Name"], image["RootDeviceName"])
