"""Ending a host: nothing that is to stay goes with it, and what was begun can be finished."""

from __future__ import annotations

from typing import Any

import pytest

from tests.programs.launching.cloud import REGION, Cloud

Capture = pytest.CaptureFixture[str]


def attach(cloud: Cloud, volume: str, host: str) -> None:
    """As the console's launch wizard attaches one: under another name, and gone with the instance."""
    cloud.ec2.attach_volume(VolumeId=volume, InstanceId=host, Device="/dev/sdf")
    gone_with_it = [{"DeviceName": "/dev/sdf", "Ebs": {"DeleteOnTermination": True}}]
    cloud.ec2.modify_instance_attribute(InstanceId=host, BlockDeviceMappings=gone_with_it)


def protected(cloud: Cloud, host: str) -> bool:
    asked = cloud.ec2.describe_instance_attribute(InstanceId=host, Attribute="disableApiTermination")
    return bool(asked["DisableApiTermination"]["Value"])


def test_the_models_volume_of_an_adopted_host_is_saved_whatever_its_name(cloud: Cloud) -> None:
    host, volume = cloud.make_instance("voice", **{"voice-part": "host"}), cloud.make_volume()
    attach(cloud, volume, host)
    assert cloud.launch("--terminate", "voice", "--yes") == 0
    assert cloud.changes == ["ModifyInstanceAttribute", "ModifyInstanceAttribute", "TerminateInstances"]
    assert (cloud.volume()["VolumeId"], cloud.volume()["State"]) == (volume, "available")


def test_a_volume_that_nobody_tagged_is_not_deleted_with_the_host(cloud: Cloud, capsys: Capture) -> None:
    host = cloud.make_instance("voice", **{"voice-part": "host"})
    volume = cloud.ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=8)["VolumeId"]
    attach(cloud, volume, host)
    assert cloud.launch("--terminate", "voice", "--yes") == 1
    assert cloud.changes == []
    assert f"! {volume} (/dev/sdf) is neither its root nor the models volume" in capsys.readouterr().out


def test_without_the_permission_to_end_it_the_host_stays_protected(cloud: Cloud, capsys: Capture) -> None:
    cloud.launch("--yes")
    cloud.refuses["TerminateInstances"] = [("UnauthorizedOperation", "You are not authorized.")]
    assert cloud.launch("--terminate", "voice", "--yes") == 1
    assert protected(cloud, cloud.instance()["InstanceId"])
    assert "ec2:TerminateInstances is not allowed to you" in capsys.readouterr().out


def test_a_protection_that_does_not_come_back_is_said(cloud: Cloud, capsys: Capture) -> None:
    cloud.launch("--yes")
    cloud.refuses["TerminateInstances"] = [("UnauthorizedOperation", "You are not authorized.")]
    cloud.refuses["ModifyInstanceAttribute"] = [("", ""), ("InternalError", "Later.")]
    assert cloud.launch("--terminate", "voice", "--yes") == 1
    said = capsys.readouterr().out
    assert "ec2:TerminateInstances is not allowed to you" in said
    assert "is not protected from termination now: ec2:ModifyInstanceAttribute: InternalError: Later." in said


def test_a_stop_while_it_shuts_down_is_gone_on_from(cloud: Cloud, capsys: Capture) -> None:
    cloud.launch("--yes")
    described: dict[str, Any] = cloud.ec2.describe_instances()
    ending = {**described["Reservations"][0]["Instances"][0], "State": {"Name": "shutting-down"}}
    ended = {**ending, "State": {"Name": "terminated"}}
    shown = [[], [ending], [ending], [ended]]  # none that lives; the one that ends; and waiting for that
    cloud.answers_once["DescribeInstances"] = [{"Reservations": [{"Instances": each}]} for each in shown]
    free = {**cloud.volume(), "State": "available", "Attachments": []}
    cloud.answers_once["DescribeVolumes"] = [{"Volumes": [each]} for each in (cloud.volume(), cloud.volume(), free)]
    capsys.readouterr()
    assert cloud.launch("--terminate", "voice", "--yes") == 0
    assert cloud.changes == []
    said = capsys.readouterr().out
    assert "+ wait until it is gone" in said
    assert f"{free['VolumeId']} is available" in said


def test_an_empty_name_ends_nothing_and_makes_nothing(cloud: Cloud, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        cloud.launch("--terminate", "", "--yes")
    assert ended.value.code == 2
    assert cloud.calls == []
    assert "argument --terminate: name the instance" in capsys.readouterr().err
