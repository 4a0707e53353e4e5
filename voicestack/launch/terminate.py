"""The instance goes, before a rebuild; its models volume and its address stay."""

from __future__ import annotations

from functools import partial
from typing import Any

from voicestack.connect.ec2 import name_of
from voicestack.connect.models_volume import mapped
from voicestack.launch import instance, volume
from voicestack.launch.calls import Aws, LaunchError
from voicestack.launch.parts import Change, Known, Part, Say
from voicestack.launch.waiting import until
from voicestack.launch.wishes import Wish

SHUTDOWN_S = 900


def examine(aws: Aws, wish: Wish, known: Known, name: str, say: Say) -> list[Part]:
    """What would be done to end the instance of this name, which must be the one that the tags name.

    Raises:
        LaunchError: it is not, or EC2 cannot be asked.
    """
    host = instance.find(aws, wish) or instance.find(aws, wish, instance.ENDING)
    if host is None:
        raise LaunchError(f"no instance in {wish.region} carries {wish.shown_tags}")
    if name not in (name_of(host), host["InstanceId"]):
        raise LaunchError(f"{wish.shown_tags} is {name_of(host)}, not {name}: nothing was changed")
    known.instance = host["InstanceId"]
    models = volume.find(aws, wish)
    part = Part(instance.THING, found=f"{known.instance} ({name_of(host)})")
    if host["State"]["Name"] in instance.ENDING:
        part.changes.append(Change("wait until it is gone", lambda: _wait_until_gone(aws, known, say)))
    else:
        _end(aws, known, host, models["VolumeId"] if models else "", part, say)
    return [part, _volume(aws, known, models, say)]


def _end(aws: Aws, known: Known, host: dict[str, Any], models: str, part: Part, say: Say) -> None:
    part.notes.append("its root volume goes with it, and so do the certificates and LiveKit's keys: back them up first")
    for device, attached in mapped(host).items():
        if not attached.get("DeleteOnTermination"):
            continue
        if attached["VolumeId"] == models:
            text = "let the models volume outlive the instance (it would not)"
            part.changes.append(Change(text, partial(volume.keep, aws, known.instance, device)))
        elif device != host["RootDeviceName"]:
            part.refusals.append(
                f"{attached['VolumeId']} ({device}) is neither its root nor the models volume, and would be deleted "
                "with it: detach it, then run this again"
            )
    off = Change("take the protection from termination off", lambda: instance.protect(aws, known, on=False))
    part.changes += [off, Change("terminate it", lambda: _terminate(aws, known, say))]


def _volume(aws: Aws, known: Known, models: volume.Described, say: Say) -> Part:
    if models is None:
        return Part(volume.THING, found="none")
    part = Part(volume.THING, found=models["VolumeId"], notes=["it stays: the next launch attaches it"])
    if known.instance in [each["InstanceId"] for each in models.get("Attachments", [])]:
        known.volume = models["VolumeId"]
        free = "wait until it is free for another instance"
        part.changes.append(Change(free, lambda: _wait_for_volume(aws, known, say)))
    return part


def _wait_for_volume(aws: Aws, known: Known, say: Say) -> None:
    until(known.volume, lambda: volume.state(aws, known.volume), "available", limit_s=volume.ATTACH_S, say=say)


def _terminate(aws: Aws, known: Known, say: Say) -> None:
    try:
        aws.change("ec2", "terminate_instances", InstanceIds=[known.instance])
    except LaunchError as error:
        _protect_again(aws, known, error)
        raise
    _wait_until_gone(aws, known, say)


def _protect_again(aws: Aws, known: Known, refusal: LaunchError) -> None:
    """A host that goes on working is not left without its protection."""
    try:
        instance.protect(aws, known, on=True)
    except LaunchError as error:
        raise LaunchError(f"{refusal}\n{known.instance} is not protected from termination now: {error}") from error


def _wait_until_gone(aws: Aws, known: Known, say: Say) -> None:
    until(known.instance, lambda: instance.state(aws, known.instance)[0], "terminated", limit_s=SHUTDOWN_S, say=say)
