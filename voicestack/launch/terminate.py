"""The instance goes, before a rebuild; its models volume and its address stay."""

from __future__ import annotations

from functools import partial
from typing import Any

from voicestack.connect.ec2 import name_of
from voicestack.connect.models_volume import mapped
from voicestack.launch import instance, volume
from voicestack.launch.calls import Aws, LaunchError
from voicestack.launch.parts import HostPart, Known, Step
from voicestack.launch.wishes import Wish

SHUTDOWN_S = 900


def plan_end(aws: Aws, wish: Wish, known: Known, name: str) -> list[HostPart]:
    """What would be done to end the instance of this name, which must be the one that the tags name.

    Raises:
        LaunchError: it is not, or EC2 cannot be asked.
    """
    host = instance.find_instance(aws, wish) or instance.find_instance(aws, wish, instance.ENDING)
    if host is None:
        raise LaunchError(f"no instance in {wish.region} carries {wish.shown_tags}")
    if name not in (name_of(host), host["InstanceId"]):
        raise LaunchError(f"{wish.shown_tags} is {name_of(host)}, not {name}: nothing was changed")
    known.instance = host["InstanceId"]
    models = volume.find_volume(aws, wish)
    part = HostPart(instance.THING, found=f"{known.instance} ({name_of(host)})")
    if host["State"]["Name"] in instance.ENDING:
        part.changes.append(Step("wait until it is gone", partial(_wait_until_gone, aws, known)))
    else:
        _end(aws, known, host, models["VolumeId"] if models else "", part)
    return [part, _volume(aws, known, models)]


def _end(aws: Aws, known: Known, host: dict[str, Any], models: str, part: HostPart) -> None:
    part.notes.append("its root volume goes with it, and so do the certificates and LiveKit's keys: back them up first")
    for device, attached in mapped(host).items():
        if not attached.get("DeleteOnTermination"):
            continue
        if attached["VolumeId"] == models:
            text = "let the models volume outlive the instance (it would not)"
            part.changes.append(Step(text, partial(volume.keep, aws, known.instance, device)))
        elif device != host["RootDeviceName"]:
            part.refusals.append(
                f"{attached['VolumeId']} ({device}) is neither its root nor the models volume, and would be deleted "
                "with it: detach it, then run this again"
            )
    off = Step("take the protection from termination off", lambda: instance.protect(aws, known, on=False))
    part.changes += [off, Step("terminate it", lambda: _terminate(aws, known))]


def _volume(aws: Aws, known: Known, models: volume.Described) -> HostPart:
    if models is None:
        return HostPart(volume.THING, found="none")
    part = HostPart(volume.THING, found=models["VolumeId"], notes=["it stays: the next launch attaches it"])
    if known.instance in [each["InstanceId"] for each in models.get("Attachments", [])]:
        known.volume = models["VolumeId"]
        state = partial(volume.volume_state, aws, known.volume)
        free = partial(aws.until, known.volume, state, "available", limit_s=volume.ATTACH_S)
        part.changes.append(Step("wait until it is free for another instance", free))
    return part


def _terminate(aws: Aws, known: Known) -> None:
    try:
        aws.change("ec2", "terminate_instances", InstanceIds=[known.instance])
    except LaunchError as refusal:
        try:  # a host that goes on working is not left without its protection
            instance.protect(aws, known, on=True)
        except LaunchError as error:
            raise LaunchError(f"{refusal}\n{known.instance} is not protected from termination now: {error}") from error
        raise
    _wait_until_gone(aws, known)


def _wait_until_gone(aws: Aws, known: Known) -> None:
    aws.until(known.instance, lambda: instance.instance_state(aws, known.instance)[0], "terminated", limit_s=SHUTDOWN_S)
