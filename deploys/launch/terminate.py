"""The instance goes, before a rebuild; its models volume and its address stay."""

from __future__ import annotations

from deploys.access.models_volume import DEVICE
from deploys.launch import instance, volume
from deploys.launch.calls import Aws, LaunchError
from deploys.launch.parts import Change, Known, Part, Say
from deploys.launch.waiting import until
from deploys.launch.wishes import Wish

SHUTDOWN_S = 900


def examine(aws: Aws, wish: Wish, known: Known, name: str, say: Say) -> list[Part]:
    """What would be done to end the instance of this name, which must be the one that the tags name.

    Raises:
        LaunchError: it is not, or EC2 cannot be asked.
    """
    host = instance.find(aws, wish)
    if host is None:
        raise LaunchError(f"no instance in {wish.region} carries {wish.shown_tags}")
    if name not in (instance.name_of(host), host["InstanceId"]):
        raise LaunchError(f"{wish.shown_tags} is {instance.name_of(host)}, not {name}: nothing was changed")
    known.instance = host["InstanceId"]
    attached = {each["DeviceName"]: each.get("Ebs", {}) for each in host.get("BlockDeviceMappings", [])}.get(DEVICE, {})
    known.volume = attached.get("VolumeId", "")
    part = Part(instance.THING, found=f"{known.instance} ({instance.name_of(host)})")
    part.notes.append("its root volume goes with it, and so do the certificates and LiveKit's keys: back them up first")
    if attached.get("DeleteOnTermination"):
        text = "let the models volume outlive the instance (it would not)"
        part.changes.append(Change(text, lambda: volume.keep(aws, known.instance)))
    part.changes.append(
        Change("take the protection from termination off", lambda: instance.protect(aws, known, on=False))
    )
    part.changes.append(Change("terminate it", lambda: _terminate(aws, known, say)))
    return [part, _volume(aws, known, say)]


def _volume(aws: Aws, known: Known, say: Say) -> Part:
    part = Part(volume.THING, found=known.volume or "none")
    if known.volume:
        free = "wait until it is free for another instance"
        part.changes.append(Change(free, lambda: _wait_for_volume(aws, known, say)))
        part.notes.append("it stays: the next launch attaches it")
    return part


def _wait_for_volume(aws: Aws, known: Known, say: Say) -> None:
    until(known.volume, lambda: volume.state(aws, known.volume), "available", limit_s=volume.ATTACH_S, say=say)


def _terminate(aws: Aws, known: Known, say: Say) -> None:
    aws.call("ec2", "terminate_instances", InstanceIds=[known.instance])
    until(known.instance, lambda: instance.state(aws, known.instance)[0], "terminated", limit_s=SHUTDOWN_S, say=say)
