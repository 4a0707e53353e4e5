"""Ending a host: nothing that is to stay goes with it, and what was begun can be finished."""

from __future__ import annotations

from typing import Any

import pytest

from tests.programs.launching.cloud import REGION, Cloud

Capture = pytest.CaptureFixture[str]
DENIED = ("UnauthorizedOperation", "You are not authorized.")


def test_the_models_volume_of_an_adopted_host_is_saved_whatever_its_name(cloud: Cloud) -> None:
    host, volume = cloud.make_host(), cloud.make_volume()
    cloud.attach(volume, host, gone_with_it=True)
    assert cloud.launch("--terminate", "voice", "--yes") == 0
    assert cloud.changes == ["ModifyInstanceAttribute", "ModifyInstanceAttribute", "TerminateInstances"]
    assert (cloud.volume()["VolumeId"], cloud.volume()["State"]) == (volume, "available")


def test_a_volume_that_nobody_tagged_is_not_deleted_with_the_host(cloud: Cloud, capsys: Capture) -> None:
    host, volume = cloud.make_host(), cloud.ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=8)["VolumeId"]
    cloud.attach(volume, host, gone_with_it=True)
    assert cloud.launch("--terminate", "voice", "--yes") == 1
    assert cloud.changes == []
    assert f"! {volume} (/dev/sdf) is neither its root nor the models volume" in capsys.readouterr().out


def test_a_host_that_may_not_be_ended_stays_protected_or_it_is_said(cloud: Cloud, capsys: Capture) -> None:
    cloud.launch("--yes")
    cloud.refuses["TerminateInstances"] = [DENIED, DENIED]
    assert cloud.launch("--terminate", "voice", "--yes") == 1
    assert "ec2:TerminateInstances is not allowed to you" in capsys.readouterr().out
    assert cloud.protected()
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
