"""A new instance, until it runs and EC2's checks of it pass."""

from __future__ import annotations

from typing import Any

from voicestack.connect.models_volume import HOST
from voicestack.launch.calls import Aws, LaunchError
from voicestack.launch.image import Image
from voicestack.launch.instance import METADATA, THING, wait_until_running
from voicestack.launch.parts import Change, Known, Part, Say
from voicestack.launch.place import Place
from voicestack.launch.waiting import until
from voicestack.launch.wishes import Wish

CHECKS_S = 900


def examine(aws: Aws, wish: Wish, known: Known, place: Place, image: Image, say: Say) -> Part:
    """What will be launched. Asks nothing."""
    launch = wish.settings.launch
    text = (
        f"launch {wish.name}, {launch.instance_type}, in {place.zone} ({place.subnet}), of {image.name} ({image.id}); "
        f"root volume {launch.root_gib} GiB, gp3, encrypted; IMDSv2 only, one hop; no key pair"
    )
    return Part(THING, changes=[Change(text, lambda: _launch(aws, wish, known, place, image, say))])


def checks(aws: Aws, known: Known, say: Say) -> Part:
    """EC2's own checks of the machine and its network, after a launch."""

    def wait() -> None:
        until("EC2's status check", lambda: _checked(aws, known.instance), "ok", limit_s=CHECKS_S, say=say)

    return Part("status", changes=[Change("wait until EC2's checks pass, some minutes", wait)])


def _launch(aws: Aws, wish: Wish, known: Known, place: Place, image: Image, say: Say) -> None:
    try:
        made = aws.change("ec2", "run_instances", **_request(wish, known, place, image))
    except LaunchError as error:
        if error.code == "InsufficientInstanceCapacity":
            raise _without_capacity(wish, place) from error
        raise
    known.instance = made["Instances"][0]["InstanceId"]
    wait_until_running(aws, known.instance, say)


def _request(wish: Wish, known: Known, place: Place, image: Image) -> dict[str, Any]:
    launch = wish.settings.launch
    root = {"VolumeSize": launch.root_gib, "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}
    return {
        "ImageId": image.id,
        "InstanceType": launch.instance_type,
        "MinCount": 1,
        "MaxCount": 1,
        "SubnetId": place.subnet,
        "SecurityGroupIds": [known.group],
        "IamInstanceProfile": {"Name": wish.host_name},
        "MetadataOptions": METADATA,
        "BlockDeviceMappings": [{"DeviceName": image.root, "Ebs": root}],
        "TagSpecifications": [*wish.specification("instance", HOST), *wish.specification("volume", "root")],
    }


def _without_capacity(wish: Wish, place: Place) -> LaunchError:
    kind = wish.settings.launch.instance_type
    elsewhere = f", or elsewhere: --data launch_zone={' or '.join(place.others)}" if place.others else ""
    fixed = "" if place.others else f"; the models volume, VOICE_SUBNET, or where {kind} is offered, hold it there"
    return LaunchError(
        f"{place.zone} has no {kind} to spare now (InsufficientInstanceCapacity): try again later{elsewhere}{fixed}"
    )


def _checked(aws: Aws, instance: str) -> str:
    answer = aws.call("ec2", "describe_instance_status", InstanceIds=[instance])["InstanceStatuses"]
    if not answer:
        return "not there yet"
    states = {answer[0]["InstanceStatus"]["Status"], answer[0]["SystemStatus"]["Status"]}
    return "ok" if states == {"ok"} else ", ".join(sorted(states - {"ok"}))
