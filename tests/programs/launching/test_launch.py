"""A host is made once, found again, and built anew around its models volume."""

from __future__ import annotations

from typing import Any

import pytest
from pyinfra.api.inventory import Inventory

from tests.programs.instances import launch
from tests.programs.launching.cloud import ACCOUNT, PORTS, REGION, Cloud
from voicestack.connect.models_volume import mapped, path_of


def tags(described: dict[str, Any]) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in described["Tags"]}


def hosts() -> dict[str, Any]:
    """What the inventory finds."""
    return {host.name: host for host in Inventory((["@eic/tag:Role=voice"], {}))}  # type: ignore[no-untyped-call]


def test_a_fresh_account_gets_the_host_that_the_settings_describe(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cloud.launch("--yes") == 0
    host = cloud.instance()
    assert (host["InstanceType"], host["ImageId"]) == ("g6.xlarge", cloud.image)
    assert tags(host) == {"Name": "voice", "Role": "voice", "voice-part": "host"}
    options = host["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 1)
    assert "KeyName" not in host
    assert [each["GroupName"] for each in host["SecurityGroups"]] == ["voice-host"]
    assert cloud.rules() == PORTS
    assert cloud.protected()
    (address,) = cloud.ec2.describe_addresses()["Addresses"]
    assert (address["InstanceId"], address["PublicIp"]) == (host["InstanceId"], host["PublicIpAddress"])
    assert f"voice is at {address['PublicIp']}" in capsys.readouterr().out


def test_its_volumes_are_encrypted_and_the_models_volume_outlives_it(cloud: Cloud) -> None:
    cloud.launch("--yes")
    root, models = mapped(cloud.instance())["/dev/sda1"], mapped(cloud.instance())["/dev/sdm"]
    assert (root["DeleteOnTermination"], models["DeleteOnTermination"]) == (True, False)
    (described,) = cloud.ec2.describe_volumes(VolumeIds=[root["VolumeId"]])["Volumes"]
    assert (described["Size"], described["VolumeType"], described["Encrypted"]) == (120, "gp3", True)
    volume = cloud.volume()
    assert volume["VolumeId"] == models["VolumeId"]
    assert (volume["Size"], volume["VolumeType"], volume["Encrypted"]) == (50, "gp3", True)
    assert volume["AvailabilityZone"] == cloud.instance()["Placement"]["AvailabilityZone"]
    assert tags(volume) == {"Name": "voice-models", "Role": "voice", "voice-part": "models"}


def test_its_role_may_ask_bedrock_for_one_model_and_nothing_else(cloud: Cloud) -> None:
    cloud.launch("--yes")
    assert cloud.instance()["IamInstanceProfile"]["Arn"].endswith(":instance-profile/voice-host")
    (role,) = cloud.iam.get_instance_profile(InstanceProfileName="voice-host")["InstanceProfile"]["Roles"]
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": "ec2.amazonaws.com"}
    assert cloud.iam.list_role_policies(RoleName="voice-host")["PolicyNames"] == ["bedrock"]
    assert cloud.iam.list_attached_role_policies(RoleName="voice-host")["AttachedPolicies"] == []
    document = cloud.iam.get_role_policy(RoleName="voice-host", PolicyName="bedrock")["PolicyDocument"]
    profile = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/eu.mistral.pixtral-large-2502-v1:0"
    assert document["Statement"][0]["Resource"] == [profile]


def test_a_second_run_finds_each_thing_and_changes_nothing(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.launch("--yes")
    capsys.readouterr()
    assert cloud.launch() == 0  # and has nothing to ask
    assert cloud.changes == []
    said = capsys.readouterr().out
    assert said.count(", as it should be") == 6
    assert "nothing was changed" in said


def test_a_dry_run_says_what_would_be_made_and_changes_nothing(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cloud.launch("--dry-run") == 0
    assert cloud.changes == []
    said = capsys.readouterr().out
    for line in (
        "+ let in udp 50000-50199 from 0.0.0.0/0",
        "+ launch voice, g6.xlarge, in eu-central-1a",
        "50 GiB, gp3",
    ):
        assert line in said
    assert cloud.ec2.describe_instances()["Reservations"] == []


def test_without_somebody_to_ask_nothing_is_made(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    assert cloud.launch() == 1
    assert cloud.changes == []
    assert "There is nobody to ask; give --yes." in capsys.readouterr().out


def test_an_existing_volume_is_attached_and_decides_the_zone(cloud: Cloud) -> None:
    volume = cloud.make_volume(f"{REGION}b")
    assert cloud.launch("--yes") == 0
    assert cloud.instance()["Placement"]["AvailabilityZone"] == f"{REGION}b"
    assert mapped(cloud.instance())["/dev/sdm"]["VolumeId"] == volume
    assert "CreateVolume" not in cloud.changes


def test_a_rebuild_keeps_volume_and_address(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.launch("--yes")
    before, volume = cloud.instance(), cloud.volume()["VolumeId"]
    assert cloud.launch("--terminate", "voice", "--yes") == 0
    assert cloud.changes == ["ModifyInstanceAttribute", "TerminateInstances"]
    assert cloud.volume()["State"] == "available"
    assert "back them up first" in capsys.readouterr().out
    cloud.free_address()
    assert cloud.launch("--yes") == 0
    assert cloud.changes == ["RunInstances", "AttachVolume", "AssociateAddress", "ModifyInstanceAttribute"]
    assert cloud.arguments("AssociateAddress")["AllowReassociation"] is False  # from nobody who has it by then
    after = cloud.instance()
    assert after["InstanceId"] != before["InstanceId"]
    assert after["PublicIpAddress"] == before["PublicIpAddress"]
    assert mapped(after)["/dev/sdm"]["VolumeId"] == volume


def test_the_inventory_knows_the_volume_and_says_of_a_launch_that_stopped_before_it(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.refuses["CreateVolume"] = [("VolumeLimitExceeded", "You have reached your limit.")]
    assert cloud.launch("--yes") == 1
    assert hosts()["voice"].data.get("weights_volume") is None
    assert "voice belongs to voicestack.launch, and no volume for its weights is attached to it" in caplog.text
    cloud.launch("--yes")
    launch(cloud.ec2, "stranger")
    caplog.clear()
    found = hosts()
    assert found["voice"].data.get("weights_volume") == path_of(cloud.volume()["VolumeId"])
    assert found["stranger"].data.get("weights_volume") is None
    assert caplog.text == ""


def test_what_a_failed_run_made_is_used_by_the_next(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.refuses["RunInstances"] = [("InsufficientInstanceCapacity", "We currently do not have sufficient capacity")]
    assert cloud.launch("--yes") == 1
    said = capsys.readouterr().out
    assert f"{REGION}a has no g6.xlarge to spare now" in said
    assert f"--data launch_zone={REGION}b or {REGION}c" in said
    assert "run this again" in said
    assert cloud.launch("--yes", "--data", f"launch_zone={REGION}c") == 0
    assert cloud.changes[0] == "RunInstances"
    assert cloud.instance()["Placement"]["AvailabilityZone"] == f"{REGION}c"


def test_progress_is_said_while_the_instance_starts(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    pending = {"InstanceStatus": {"Status": "initializing"}, "SystemStatus": {"Status": "ok"}}
    cloud.answers_once["DescribeInstanceStatus"] = [{"InstanceStatuses": []}, {"InstanceStatuses": [pending]}]
    assert cloud.launch("--yes") == 0
    said = capsys.readouterr().out
    assert "is not there yet (0 s)" in said
    assert "is initializing (0 s)" in said
    assert "EC2's status check is ok" in said


def test_ssh_comes_through_the_endpoint_where_runs_do(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICE_CONNECT", "tunnel")
    monkeypatch.delenv("VOICE_SSH_FROM")
    vpc = cloud.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = cloud.ec2.create_security_group(GroupName="endpoint", Description="endpoint", VpcId=vpc)["GroupId"]
    ready = {"State": "create-complete", "SubnetId": "", "SecurityGroupIds": [group]}
    cloud.answers["DescribeInstanceConnectEndpoints"] = {"InstanceConnectEndpoints": [ready]}
    assert cloud.launch("--yes") == 0
    assert cloud.rules() - PORTS == {("tcp", 22, 22, group)}
    assert cloud.launch() == 0
    assert cloud.changes == []
