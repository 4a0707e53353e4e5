"""What was changed by hand is set right by the next run, one call for each thing."""

from __future__ import annotations

import json

import pytest

from tests.programs.launching.cloud import NETWORK, Cloud
from tests.programs.launching.test_launch import PORTS, mapped

OPEN_TO_ALL = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
TURN = {"IpProtocol": "udp", "FromPort": 3478, "ToPort": 3478, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}

TRUSTS_A_STRANGER = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "sts:AssumeRole"}],
    }
)


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


def test_an_operator_who_moves_is_let_in_from_the_new_network_alone(
    cloud: Cloud, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICE_SSH_FROM", "198.51.100.0/24, 203.0.113.9/32")
    assert cloud.launch("--yes") == 0
    assert cloud.rules() - PORTS == {("tcp", 22, 22, "198.51.100.0/24"), ("tcp", 22, 22, "203.0.113.9/32")}
    assert ("tcp", 22, 22, NETWORK) not in cloud.rules()


def test_ports_follow_the_settings(cloud: Cloud, group: str) -> None:
    changed = ("livekit_rtc_port_end=50099", "livekit_turn_enabled=False", "livekit_stun_servers=['192.0.2.1:3478']")
    assert cloud.launch("--yes", *(word for each in changed for word in ("--data", each))) == 0
    assert {each for each in cloud.rules() if each[0] == "udp"} == {("udp", 50000, 50099, "0.0.0.0/0")}


def test_imdsv1_is_switched_off_again(cloud: Cloud, group: str) -> None:
    name = cloud.instance()["InstanceId"]
    cloud.ec2.modify_instance_metadata_options(
        InstanceId=name, HttpTokens="optional", HttpPutResponseHopLimit=2, HttpEndpoint="enabled"
    )
    assert cloud.launch("--yes") == 0
    assert cloud.changes == ["ModifyInstanceMetadataOptions"]
    options = cloud.instance()["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 1)


def test_another_security_group_comes_off(cloud: Cloud, group: str) -> None:
    host = cloud.instance()
    other = cloud.ec2.create_security_group(GroupName="wide", Description="open", VpcId=host["VpcId"])["GroupId"]
    cloud.ec2.modify_instance_attribute(InstanceId=host["InstanceId"], Groups=[group, other])
    assert cloud.launch("--yes") == 0
    assert [each["GroupId"] for each in cloud.instance()["SecurityGroups"]] == [group]


def test_the_volume_is_made_to_outlive_the_instance_again(cloud: Cloud, group: str) -> None:
    gone_with_it = [{"DeviceName": "/dev/sdm", "Ebs": {"DeleteOnTermination": True}}]
    name = cloud.instance()["InstanceId"]
    cloud.ec2.modify_instance_attribute(InstanceId=name, BlockDeviceMappings=gone_with_it)
    assert cloud.launch("--yes") == 0
    assert mapped(cloud.instance(), "/dev/sdm")["DeleteOnTermination"] is False


def test_terminating_saves_the_volume_first(cloud: Cloud, group: str) -> None:
    gone_with_it = [{"DeviceName": "/dev/sdm", "Ebs": {"DeleteOnTermination": True}}]
    name, volume = cloud.instance()["InstanceId"], cloud.volume()["VolumeId"]
    cloud.ec2.modify_instance_attribute(InstanceId=name, BlockDeviceMappings=gone_with_it)
    assert cloud.launch("--terminate", "voice", "--yes") == 0
    assert (cloud.volume()["VolumeId"], cloud.volume()["State"]) == (volume, "available")


def test_protection_comes_back(cloud: Cloud, group: str) -> None:
    name = cloud.instance()["InstanceId"]
    cloud.ec2.modify_instance_attribute(InstanceId=name, DisableApiTermination={"Value": False})
    assert cloud.launch("--yes") == 0
    assert cloud.arguments("ModifyInstanceAttribute") == {
        "InstanceId": name,
        "DisableApiTermination": {"Value": True},
    }


def test_a_role_that_may_more_is_narrowed_and_what_is_attached_to_it_is_told(
    cloud: Cloud, group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    )
    cloud.iam.put_role_policy(RoleName="voice-host", PolicyName="bedrock", PolicyDocument=everything)
    cloud.iam.put_role_policy(RoleName="voice-host", PolicyName="more", PolicyDocument=everything)
    cloud.iam.update_assume_role_policy(RoleName="voice-host", PolicyDocument=TRUSTS_A_STRANGER)
    assert cloud.launch("--yes") == 0
    assert cloud.changes == ["UpdateAssumeRolePolicy", "PutRolePolicy"]
    assert "by policies from elsewhere: more" in capsys.readouterr().out
    assert cloud.launch() == 0
    assert cloud.changes == []


def test_a_host_that_was_made_by_hand_can_be_taken_over(cloud: Cloud) -> None:
    cloud.make_instance("voice", **{"voice-part": "host"})
    assert cloud.launch("--yes") == 0
    assert "RunInstances" not in cloud.changes
    host = cloud.instance()
    assert [each["GroupName"] for each in host["SecurityGroups"]] == ["voice-host"]
    assert host["IamInstanceProfile"]["Arn"].endswith(":instance-profile/voice-host")
    assert host["MetadataOptions"]["HttpTokens"] == "required"
    assert mapped(host, "/dev/sdm")["VolumeId"] == cloud.volume()["VolumeId"]
