"""The instance goes, before a rebuild; its models volume and its address stay."""

from __future__ import annotations

from typing import Any

from voicestack.connect.ec2 import name_of
from voicestack.connect.models_volume import mapped
from voicestack.launch import instance, volume
from voicestack.launch.calls import Aws, LaunchError
from voicestack.launch.parts import HostPart, Known
from voicestack.launch.wishes import Wish


def plan_end(aws: Aws, wish: Wish, known: Known, name: str) -> list[HostPart]:
    """What would be done to end the instance of this name, which must be the one that the tags name.

    Raises:
        LaunchError: it is not, or EC2 cannot be asked.
    """
    host = instance.find_instance(aws, wish) or instance.find_instance(aws, wish, [instance.ENDING])
    if host is None:
        raise LaunchError(f"no instance in {wish.operator.region} carries {wish.shown_tags}")
    if name not in (name_of(host), host["InstanceId"]):
        raise LaunchError(f"{wish.shown_tags} is {name_of(host)}, not {name}: nothing was changed")
    known.instance = host["InstanceId"]
    models = volume.find_volume(aws, wish)
    part = HostPart("instance", found=f"{known.instance} ({name_of(host)})")
    if host["State"]["Name"] == instance.ENDING:
        part.step("wait until it is gone", instance.wait_until, "terminated", aws, known)
    else:
        _end(part, aws, known, host, models)
    if models is None:
        return [part, HostPart("models volume", found="none")]
    known.volume = models["VolumeId"]
    stays = HostPart("models volume", found=known.volume, notes=["it stays: the next launch attaches it"])
    if known.instance in [each["InstanceId"] for each in models.get("Attachments", [])]:
        stays.step("wait until it is free for another instance", volume.wait_until, "available", aws, known)
    return [part, stays]


def _end(part: HostPart, aws: Aws, known: Known, host: dict[str, Any], models: volume.Described) -> None:
    part.notes.append("its root volume goes with it, and so do the certificates and LiveKit's keys: back them up first")
    for device, attached in mapped(host).items():
        if not attached.get("DeleteOnTermination"):
            continue
        if models and attached["VolumeId"] == models["VolumeId"]:
            part.step("let the models volume outlive the instance (it would not)", volume.keep, aws, known, device)
        elif device != host["RootDeviceName"]:
            part.refusals.append(
                f"{attached['VolumeId']} ({device}) is neither its root nor the models volume, and would be deleted "
                "with it: detach it, then run this again"
            )
    part.step("take the protection from termination off", instance.protect, aws, known, on=False)
    part.step("terminate it", _terminate, aws, known)


def _terminate(aws: Aws, known: Known) -> None:
    try:
        aws.change("ec2", "terminate_instances", InstanceIds=[known.instance])
    except LaunchError as refusal:
        try:  # a host that goes on working is not left without its protection
            instance.protect(aws, known, on=True)
        except LaunchError as error:
            raise LaunchError(f"{refusal}\n{known.instance} is not protected from termination now: {error}") from error
        raise
    instance.wait_until("terminated", aws, known)
