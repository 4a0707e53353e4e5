"""The models volume: made once, attached to the instance, never deleted and never detached by force."""

from __future__ import annotations

from typing import Any

from voicestack.connect.models_volume import DEVICE, mapped
from voicestack.launch.calls import Aws, LaunchError, await_state
from voicestack.launch.instance import modify
from voicestack.launch.parts import HostPart, Known
from voicestack.launch.wishes import Wish

PART = "models"
Described = dict[str, Any] | None
"""A volume or an instance as EC2 describes it."""


def find_volume(aws: Aws, wish: Wish) -> Described:
    """The volume as EC2 describes it, or None.

    Raises:
        LaunchError: there are several, or EC2 cannot be asked.
    """
    alive = {"Name": "status", "Values": ["creating", "available", "in-use", "error"]}
    found = aws.call("ec2", "describe_volumes", Filters=[*wish.filters(PART), alive])["Volumes"]
    if len(found) > 1:
        shown = ", ".join(f"{each['VolumeId']} ({each['AvailabilityZone']}, {each['State']})" for each in found)
        raise LaunchError(
            f"{len(found)} volumes are tagged {wish.shown_tags} and as models: {shown}. Untag all but one; none is "
            "chosen for you, and none is deleted"
        )
    return dict(found[0]) if found else None


def plan_volume(aws: Aws, wish: Wish, known: Known, volume: Described, host: Described) -> HostPart:
    """What is to be done so that the instance has its models volume. Asks nothing."""
    part, size = HostPart("models volume"), wish.settings.launch.models_gib
    at_device = mapped(host).get(DEVICE, {}) if host else {}
    taken = at_device.get("VolumeId", "")
    if taken and (volume is None or taken != volume["VolumeId"]):
        part.refusals.append(f"{taken} is attached to the instance as {DEVICE}, and is not tagged as the models volume")
        return part
    if volume is None:
        part.step(f"make one of {size} GiB, gp3, encrypted, in {known.zone}", _make, aws, wish, known)
    else:
        known.volume = volume["VolumeId"]
        part.found = f"{known.volume} ({volume['Size']} GiB in {volume['AvailabilityZone']})"
        part.refusals += _refusals(volume, known)
        if volume["Size"] != size:
            part.notes.append(
                f"it has {volume['Size']} GiB, launch_models_gib is {size}: volumes are not resized here "
                "(aws ec2 modify-volume, then resize2fs on the host)"
            )
    if not taken:
        part.step(f"attach it as {DEVICE}", _attach, aws, known)
    elif at_device.get("DeleteOnTermination"):
        part.step("let it outlive the instance (it would not)", keep, aws, known, DEVICE)
    return part


def _refusals(volume: dict[str, Any], known: Known) -> list[str]:
    problems, name = [], volume["VolumeId"]
    if not volume["Encrypted"]:
        problems.append(
            f"{name} is not encrypted: copy it by an encrypted snapshot, and give the copy its tags instead"
        )
    if volume["State"] in ("creating", "error"):
        problems.append(f"{name} is in the state {volume['State']}: wait, or look at it in the console")
    if known.zone and volume["AvailabilityZone"] != known.zone:
        problems.append(
            f"{name} is in {volume['AvailabilityZone']}, the instance in {known.zone}, and volumes stay in their zone: "
            "terminate the instance (--terminate) and launch again, which puts the new one where the volume is"
        )
    for each in volume.get("Attachments", []):
        if each["InstanceId"] != known.instance:
            problems.append(
                f"{name} is {each['State']} to {each['InstanceId']}: end that instance or detach it there, and wait "
                "until that is done; nothing is detached by force"
            )
        elif each["Device"] != DEVICE:
            problems.append(
                f"{name} is attached as {each['Device']}; the inventory looks for it at {DEVICE}: unmount and detach "
                "it, then run this again"
            )
    return problems


def keep(aws: Aws, known: Known, device: str) -> None:
    """Let the volume that the instance has as `device` outlive it."""
    modify(aws, known, BlockDeviceMappings=[{"DeviceName": device, "Ebs": {"DeleteOnTermination": False}}])


def wait_until(wanted: str, aws: Aws, known: Known) -> None:
    """Return when it is "available", or in use and "attached"."""

    def now() -> str:
        found = aws.call("ec2", "describe_volumes", VolumeIds=[known.volume])["Volumes"][0]
        attachments = [each["State"] for each in found.get("Attachments", [])]
        return str(attachments[0] if found["State"] == "in-use" and attachments else found["State"])

    await_state(known.volume, now, wanted, limit_s=180)


def _make(aws: Aws, wish: Wish, known: Known) -> None:
    known.volume = aws.change(
        "ec2",
        "create_volume",
        AvailabilityZone=known.zone,
        Size=wish.settings.launch.models_gib,
        VolumeType="gp3",
        Encrypted=True,
        TagSpecifications=wish.specification("volume", PART),
    )["VolumeId"]
    wait_until("available", aws, known)


def _attach(aws: Aws, known: Known) -> None:
    """Attached like this it outlives the instance: only volumes of a launch's own mapping go with it."""
    aws.change("ec2", "attach_volume", VolumeId=known.volume, InstanceId=known.instance, Device=DEVICE)
    wait_until("attached", aws, known)
