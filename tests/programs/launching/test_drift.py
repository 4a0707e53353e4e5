"""What was changed by hand is set right by the next run, one call for each thing."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from tests.programs.launching.cloud import NETWORK, PORTS, Cloud
from voicestack.connect.models_volume import mapped

OPEN_TO_ALL = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
TURN = {"IpProtocol": "udp", "FromPort": 3478, "ToPort": 3478, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
STRANGER = {"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "sts:AssumeRole"}
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def policy(statement: Mapping[str, object]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def group(cloud: Cloud) -> str:
    """The security group of a host that was launched."""
    cloud.launch("--yes")
    return str(cloud.instance()["SecurityGroups"][0]["GroupId"])


def test_a_foreign_rule_goes_and_a_lost_one_comes_back(
    cloud: Cloud, group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[OPEN_TO_ALL])
    cloud.ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[TURN])
    assert cloud.launch("--yes") == 0
    assert cloud.changes == ["AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress"]
    assert cloud.rules() == PORTS
    assert "+ no longer let in tcp 5432 from 0.0.0.0/0" in capsys.readouterr().out


@pytest.mark.usefixtures("group")
def test_an_operator_who_moves_is_let_in_from_the_new_network_alone(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICE_SSH_FROM", "198.51.100.0/24, 2001:db8::/48")
    assert cloud.launch("--yes") == 0
    assert cloud.rules() ^ PORTS == {
        ("tcp", 22, 22, NETWORK),
        ("tcp", 22, 22, "198.51.100.0/24"),
        ("tcp", 22, 22, "2001:db8::/48"),
    }
    assert cloud.launch() == 0
    assert cloud.changes == []


@pytest.mark.usefixtures("group")
def test_the_instance_is_as_it_should_be_again(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    host = cloud.instance()
    name, other = host["InstanceId"], {"GroupName": "more", "Description": "more", "VpcId": host["VpcId"]}
    more = cloud.ec2.create_security_group(**other)["GroupId"]
    wrong = {"HttpTokens": "optional", "HttpPutResponseHopLimit": 2, "HttpEndpoint": "enabled"}
    cloud.ec2.modify_instance_metadata_options(InstanceId=name, **wrong)
    for each in (
        {"Groups": [host["SecurityGroups"][0]["GroupId"], more]},
        {"BlockDeviceMappings": [{"DeviceName": "/dev/sdm", "Ebs": {"DeleteOnTermination": True}}]},
        {"DisableApiTermination": {"Value": False}},
    ):
        cloud.ec2.modify_instance_attribute(InstanceId=name, **each)
    assert cloud.launch("--yes") == 0
    assert cloud.changes == ["ModifyInstanceMetadataOptions", *["ModifyInstanceAttribute"] * 3]
    assert f"off comes {more} (more)" in capsys.readouterr().out
    again = cloud.instance()
    assert again["MetadataOptions"].items() >= {**wrong, "HttpTokens": "required", "HttpPutResponseHopLimit": 1}.items()
    assert again["SecurityGroups"] == host["SecurityGroups"]
    assert mapped(again)["/dev/sdm"]["DeleteOnTermination"] is False
    assert cloud.protected()


@pytest.mark.usefixtures("group")
def test_a_role_that_may_more_is_narrowed_and_what_is_attached_to_it_is_told(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("bedrock", "more"):
        cloud.iam.put_role_policy(RoleName="voice-host", PolicyName=name, PolicyDocument=policy(EVERYTHING))
    cloud.iam.update_assume_role_policy(RoleName="voice-host", PolicyDocument=policy(STRANGER))
    assert cloud.launch("--yes") == 0
    assert cloud.changes == ["UpdateAssumeRolePolicy", "PutRolePolicy"]
    assert "by policies from elsewhere: more" in capsys.readouterr().out
    assert cloud.launch() == 0
    assert cloud.changes == []


def test_a_host_that_was_made_by_hand_can_be_taken_over(cloud: Cloud) -> None:
    cloud.make_host()
    assert cloud.launch("--yes") == 0
    assert "RunInstances" not in cloud.changes
    host = cloud.instance()
    assert [each["GroupName"] for each in host["SecurityGroups"]] == ["voice-host"]
    assert host["IamInstanceProfile"]["Arn"].endswith(":instance-profile/voice-host")
    assert host["MetadataOptions"]["HttpTokens"] == "required"
    assert mapped(host)["/dev/sdm"]["VolumeId"] == cloud.volume()["VolumeId"]
