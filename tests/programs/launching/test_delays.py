"""What was just made, AWS may not know yet: the call that names it is made again, and nothing is made twice."""

from __future__ import annotations

import pytest

from tests.programs.launching.cloud import Cloud
from voicestack.connect.models_volume import mapped
from voicestack.launch import calls

PROFILE = [
    "Value (voice-host) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name",
    'IAM Instance Profile "arn:aws:iam::111122223333:instance-profile/voice-host" has no associated IAM Roles',
]


@pytest.mark.parametrize("words", PROFILE)
def test_the_launch_waits_until_ec2_knows_a_new_instance_profile(cloud: Cloud, words: str) -> None:
    cloud.refuses["RunInstances"] = [("InvalidParameterValue", words)] * 2
    assert cloud.launch("--yes") == 0
    assert cloud.changes.count("RunInstances") == 3
    assert len(cloud.ec2.describe_instances()["Reservations"]) == 1


def test_so_does_a_host_that_is_taken_over(cloud: Cloud) -> None:
    cloud.make_host()
    cloud.refuses["AssociateIamInstanceProfile"] = [("InvalidParameterValue", PROFILE[0])]
    assert cloud.launch("--yes") == 0
    assert cloud.instance()["IamInstanceProfile"]["Arn"].endswith(":instance-profile/voice-host")


def test_another_value_that_ec2_does_not_take_is_told_at_once(cloud: Cloud) -> None:
    cloud.refuses["RunInstances"] = [("InvalidParameterValue", "Invalid device name")]
    assert cloud.launch("--yes") == 1
    assert cloud.changes.count("RunInstances") == 1


def test_what_is_too_new_is_asked_for_again(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    early = {
        "PutRolePolicy": "NoSuchEntity",
        "AddRoleToInstanceProfile": "NoSuchEntity",
        "AuthorizeSecurityGroupIngress": "InvalidGroup.NotFound",
        "DescribeVolumes": "InvalidVolume.NotFound",
        "AttachVolume": "InvalidVolume.NotFound",
        "AssociateAddress": "InvalidAllocationID.NotFound",
    }
    cloud.refuses |= {operation: [(code, "It does not exist.")] for operation, code in early.items()}
    cloud.refuses["DescribeVolumes"].insert(0, ("", ""))  # whether there is one, it is asked before
    assert cloud.launch("--yes") == 0
    assert not any(cloud.refuses.values())
    for operation in ("CreateRole", "CreateSecurityGroup", "CreateVolume", "AllocateAddress", "RunInstances"):
        assert cloud.changes.count(operation) == 1
    assert mapped(cloud.instance())["/dev/sdm"]["VolumeId"] == cloud.volume()["VolumeId"]
    assert "not known yet, asked again for 120 s: ec2:AttachVolume: InvalidVolume.NotFound" in capsys.readouterr().out


def test_what_stays_unknown_is_an_error(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(calls, "KNOWN_S", -1)
    cloud.refuses["AuthorizeSecurityGroupIngress"] = [("InvalidGroup.NotFound", "It does not exist.")]
    assert cloud.launch("--yes") == 1
    assert "ec2:AuthorizeSecurityGroupIngress: InvalidGroup.NotFound: It does not exist." in capsys.readouterr().out


def test_a_host_that_is_still_starting_is_waited_for(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.launch("--yes")
    starting = {**cloud.instance(), "State": {"Name": "pending"}}
    cloud.answers_once["DescribeInstances"] = [{"Reservations": [{"Instances": [starting]}]}]
    capsys.readouterr()
    assert cloud.launch("--yes") == 0
    assert cloud.changes == []
    said = capsys.readouterr().out
    assert "+ wait until it runs" in said
    assert f"{starting['InstanceId']} is running" in said


def test_an_instance_that_ends_at_once_is_told_with_ec2_s_reason(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = {"Message": "Client.InvalidKMSKey.InvalidState: The KMS key is disabled"}
    ended = {"State": {"Name": "shutting-down"}, "StateReason": reason}
    cloud.answers_once["DescribeInstances"] = [{"Reservations": []}, {"Reservations": [{"Instances": [ended]}]}]
    assert cloud.launch("--yes") == 1
    assert "was ended as soon as it began: Client.InvalidKMSKey.InvalidState" in capsys.readouterr().out
