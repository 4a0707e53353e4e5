"""What cannot be done is said with its fix, and before anything is changed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.inventory import Inventory

from tests.programs.launching.cloud import REGION, Cloud
from voicestack.aws import account
from voicestack.connect.ec2 import InstancesError

ROOT = Path(__file__).resolve().parents[3]
Capture = pytest.CaptureFixture[str]


def refusal(cloud: Cloud, capsys: Capture, *words: str) -> str:
    """What a run says that refuses and changes nothing."""
    capsys.readouterr()
    assert cloud.launch("--yes", *words) == 1
    assert cloud.changes == []
    return capsys.readouterr().out


# --- settings -----------------------------------------------------------------------------------------------------


def test_everything_that_is_wrong_is_told_at_once_and_aws_is_not_asked(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("VOICE_REGION", "us-east-1")
    monkeypatch.setenv("VOICE_TAG", "Role=voi*")
    monkeypatch.setenv("VOICE_SSH_FROM", "0.0.0.0/0,203.0.113.7/24")
    wrong = ("launch_root_gib=20", "launch_models_gib=10", "gpu_card=46068", "launch_nmae=x", "livekit_tcp_port=443")
    assert cloud.launch("--yes", *(word for each in wrong for word in ("--data", each))) == 2
    assert cloud.calls == []
    said = capsys.readouterr().err
    for key in ("VOICE_TAG", "launch_root_gib", "launch_models_gib", "launch_instance_type", "livekit_tcp_port"):
        assert f"  - {key}: " in said
    assert "VOICE_REGION: us-east-1 is outside site_allowed_regions (eu-central-1, " in said
    assert "VOICE_SSH_FROM: 0.0.0.0/0 is the whole internet" in said
    assert "VOICE_SSH_FROM: '203.0.113.7/24' is no network" in said
    assert "launch_nmae: no such setting; did you mean launch_name?" in said


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"VOICE_SSH_FROM": ""}, "VOICE_SSH_FROM: not set, so nobody could connect"),
        ({"VOICE_CONNECT": "ssh"}, "VOICE_CONNECT: a new host has no key pair"),
        ({"VOICE_CONNECT": "telnet"}, "VOICE_CONNECT: 'telnet' must be one of"),
        ({"VOICE_TAG": "voice"}, "VOICE_TAG: 'voice' must be KEY=VALUE"),
        (
            {"VOICE_TAG": "Role=a;Role=b"},
            "VOICE_TAG: 'Role=a;Role=b' must be KEY=VALUE, several with ';' between them, each",
        ),
        ({"VOICE_REGION": "eu-centralone"}, "VOICE_REGION: 'eu-centralone' is no region's name"),
        ({"VOICE_TAG": "voice-part=x"}, "voice-part and aws:... are not yours to set"),
    ],
)
def test_a_variable_that_cannot_work_is_named(variables: dict[str, str], words: str) -> None:
    """As the program it is: its exit status, nothing on stdout, and no AWS in reach."""
    environment = {"PATH": os.environ["PATH"], "VOICE_SSH_FROM": "203.0.113.7/32", **variables}
    command = [sys.executable, "-m", "voicestack.launch", "--dry-run"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_what_keeps_settings_from_being_read_is_told_at_once(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("VOICE_CONNECT", "telnet")
    monkeypatch.setenv("VOICE_REGION", "frankfurt")
    assert cloud.launch("--group", "prd", "--data", "launch_root_gib", "--data", "launch_zone") == 2
    assert cloud.calls == []
    first, *lines = capsys.readouterr().err.splitlines()
    assert first == "5 settings cannot work; nothing was changed:"
    starts = ("VOICE_CONNECT: ", "VOICE_REGION: ", "--group prd: ", "--data launch_root_gib: ", "--data launch_zone: ")
    assert [line.startswith(f"  - {start}") for line, start in zip(lines, starts, strict=True)] == [True] * 5


@pytest.fixture
def own_account() -> Iterator[None]:
    """An account of which botocore has read nothing yet, for this test alone."""
    account.cache_clear()
    yield
    account.cache_clear()


@pytest.mark.usefixtures("own_account")
@pytest.mark.parametrize("role", ["", "arn:aws:iam::111122223333:role/reader"])
def test_a_profile_that_there_is_not_is_said_clearly(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: Capture, role: str
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "typo")
    monkeypatch.setenv("VOICE_ROLE_ARN", role)
    assert "The config profile (typo) could not be found" in refusal(cloud, capsys)
    with pytest.raises(InstancesError, match=r"cannot be asked .* The config profile \(typo\) could not be found"):
        Inventory((["@eic/tag:Role=voice"], {}))  # type: ignore[no-untyped-call]


def test_missing_credentials_are_said_clearly(tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "VOICE_SSH_FROM": "203.0.113.7/32",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    command = [sys.executable, "-m", "voicestack.launch", "--dry-run"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "there are no AWS credentials where boto3 looks for them" in done.stdout
    assert done.stderr == ""


# --- volumes ------------------------------------------------------------------------------------------------------


def test_of_several_volumes_none_is_chosen(cloud: Cloud, capsys: Capture) -> None:
    one, two = cloud.make_volume(), cloud.make_volume(f"{REGION}b")
    said = refusal(cloud, capsys)
    assert "2 volumes are tagged Role=voice and as models" in said
    assert one in said
    assert two in said


def test_a_volume_of_another_live_instance_stays_there(cloud: Cloud, capsys: Capture) -> None:
    volume, other = cloud.make_volume(), cloud.make_instance("other", Role="else")
    cloud.ec2.attach_volume(VolumeId=volume, InstanceId=other, Device="/dev/sdf")
    said = refusal(cloud, capsys)
    assert f"{volume} is attached to {other}" in said
    assert "nothing is detached by force" in said


def test_a_volume_in_another_zone_than_the_instance_is_refused(cloud: Cloud, capsys: Capture) -> None:
    cloud.make_instance("voice", **{"voice-part": "host"})
    volume = cloud.make_volume(f"{REGION}c")
    said = refusal(cloud, capsys)
    assert f"{volume} is in {REGION}c, the instance in {REGION}a" in said
    assert "--terminate" in said


def test_a_volume_without_encryption_is_refused(cloud: Cloud, capsys: Capture) -> None:
    cloud.make_volume(encrypted=False)
    assert "is not encrypted" in refusal(cloud, capsys)


def test_a_volume_under_another_name_is_refused(cloud: Cloud, capsys: Capture) -> None:
    host, volume = cloud.make_instance("voice", **{"voice-part": "host"}), cloud.make_volume()
    cloud.ec2.attach_volume(VolumeId=volume, InstanceId=host, Device="/dev/sdf")
    assert f"{volume} is attached as /dev/sdf; the inventory looks for it at /dev/sdm" in refusal(cloud, capsys)


def test_a_stranger_under_the_volume_s_name_is_refused(cloud: Cloud, capsys: Capture) -> None:
    host = cloud.make_instance("voice", **{"voice-part": "host"})
    volume = cloud.ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=8)["VolumeId"]
    cloud.ec2.attach_volume(VolumeId=volume, InstanceId=host, Device="/dev/sdm")
    assert f"{volume} is attached to the instance as /dev/sdm, and is not tagged" in refusal(cloud, capsys)


@pytest.mark.parametrize("state", ["creating", "error"])
def test_a_volume_that_is_not_usable_is_refused(cloud: Cloud, capsys: Capture, state: str) -> None:
    cloud.make_volume()
    cloud.answers["DescribeVolumes"] = {"Volumes": [{**cloud.volume(), "State": state}]}
    assert f"is in the state {state}: wait, or look at it in the console" in refusal(cloud, capsys)


def test_another_size_is_told_and_left(cloud: Cloud, capsys: Capture) -> None:
    cloud.make_volume(size=40)
    assert cloud.launch("--yes") == 0
    assert "it has 40 GiB, launch_models_gib is 50: volumes are not resized here" in capsys.readouterr().out
    assert cloud.volume()["Size"] == 40


# --- places -------------------------------------------------------------------------------------------------------


def offer(cloud: Cloud, *zones: str) -> None:
    found = [{"Location": zone, "InstanceType": "g6.xlarge"} for zone in zones]
    cloud.answers["DescribeInstanceTypeOfferings"] = {"InstanceTypeOfferings": found}


def test_a_type_that_the_zone_does_not_offer_names_the_zones_that_do(cloud: Cloud, capsys: Capture) -> None:
    offer(cloud, f"{REGION}b", f"{REGION}c")
    said = refusal(cloud, capsys, "--data", f"launch_zone={REGION}a")
    assert f"g6.xlarge is offered in {REGION}b, {REGION}c, not in {REGION}a" in said
    cloud.make_volume(f"{REGION}a")
    assert f"not in {REGION}a, where the models volume is; a volume stays in its zone" in refusal(cloud, capsys)


def test_without_a_wish_a_zone_that_offers_the_type_is_taken(cloud: Cloud) -> None:
    offer(cloud, f"{REGION}b")
    assert cloud.launch("--yes") == 0
    assert cloud.instance()["Placement"]["AvailabilityZone"] == f"{REGION}b"


def test_an_image_that_ssm_does_not_know_is_told_by_its_name(cloud: Cloud, capsys: Capture) -> None:
    said = refusal(cloud, capsys, "--data", "launch_image=/aws/service/canonical/ubuntu/none")
    assert f"launch_image: SSM in {REGION} has no public parameter /aws/service/canonical/ubuntu/none" in said


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ([], "which eu-central-1 does not have"),
        ([{"Name": "noble-arm64", "Architecture": "arm64", "RootDeviceName": "/dev/sda1"}], "noble-arm64 is for arm64"),
    ],
)
def test_an_image_that_cannot_be_launched_is_told(
    cloud: Cloud, capsys: Capture, images: list[dict[str, str]], said: str
) -> None:
    cloud.answers["DescribeImages"] = {"Images": images}
    assert said in refusal(cloud, capsys)


def test_no_endpoint_for_the_tunnel_is_told_with_the_command_that_makes_one(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("VOICE_CONNECT", "tunnel")
    cloud.answers["DescribeInstanceConnectEndpoints"] = {"InstanceConnectEndpoints": []}
    assert "aws ec2 create-instance-connect-endpoint" in refusal(cloud, capsys)


# --- instances ----------------------------------------------------------------------------------------------------


def test_an_instance_that_was_not_made_here_is_not_touched(cloud: Cloud, capsys: Capture) -> None:
    other = cloud.make_instance("by-hand")
    said = refusal(cloud, capsys)
    assert f"by-hand ({other}) carries Role=voice and was not made by this command" in said
    assert "was not made by this command" in refusal(cloud, capsys, "--terminate", "by-hand")


def test_several_instances_need_a_narrower_tag(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    cloud.make_instance("one", Stage="test")
    cloud.make_instance("two", Stage="prod", **{"voice-part": "host"})
    assert "2 instances carry Role=voice" in refusal(cloud, capsys)
    monkeypatch.setenv("VOICE_TAG", "Role=voice; Stage = prod")
    assert cloud.launch("--dry-run") == 0


def test_a_stopped_instance_and_one_of_another_type_are_told(cloud: Cloud, capsys: Capture) -> None:
    cloud.launch("--yes")
    cloud.ec2.stop_instances(InstanceIds=[cloud.instance()["InstanceId"]])
    said = refusal(cloud, capsys, "--data", "launch_instance_type=g6.2xlarge")
    assert "it is stopped: start it" in said
    assert "it is a g6.xlarge, launch_instance_type is g6.2xlarge" in said


def test_what_has_our_name_and_not_our_tags_is_left_alone(cloud: Cloud, capsys: Capture) -> None:
    vpc = cloud.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    cloud.ec2.create_security_group(GroupName="voice-host", Description="theirs", VpcId=vpc)
    cloud.iam.create_role(RoleName="voice-host", AssumeRolePolicyDocument="{}")
    said = refusal(cloud, capsys)
    assert "is called voice-host too, without the tags Role=voice" in said
    assert "a role voice-host exists without the tags Role=voice" in said


def test_a_foreign_instance_profile_is_told_and_left(cloud: Cloud, capsys: Capture) -> None:
    host = cloud.make_instance("voice", **{"voice-part": "host"})
    cloud.iam.create_instance_profile(InstanceProfileName="theirs")
    cloud.ec2.associate_iam_instance_profile(InstanceId=host, IamInstanceProfile={"Name": "theirs"})
    assert "its instance profile is theirs, not voice-host" in refusal(cloud, capsys)


def test_an_instance_profile_of_our_name_that_holds_another_role_is_refused(cloud: Cloud, capsys: Capture) -> None:
    cloud.iam.create_role(RoleName="theirs", AssumeRolePolicyDocument="{}")
    cloud.iam.create_instance_profile(InstanceProfileName="voice-host")
    cloud.iam.add_role_to_instance_profile(InstanceProfileName="voice-host", RoleName="theirs")
    assert "the instance profile voice-host holds the role theirs" in refusal(cloud, capsys)


# --- addresses ----------------------------------------------------------------------------------------------------


def make_address(cloud: Cloud) -> dict[str, Any]:
    """One as an earlier launch left it."""
    tags = [{"Key": "Role", "Value": "voice"}, {"Key": "voice-part", "Value": "address"}]
    specification = [{"ResourceType": "elastic-ip", "Tags": tags}]
    return dict(cloud.ec2.allocate_address(Domain="vpc", TagSpecifications=specification))


def test_the_address_of_another_instance_stays_there(cloud: Cloud, capsys: Capture) -> None:
    address, other = make_address(cloud), cloud.make_instance("other", Role="else")
    cloud.ec2.associate_address(AllocationId=address["AllocationId"], InstanceId=other)
    assert f"{address['PublicIp']} belongs to {other}: disassociate it there first" in refusal(cloud, capsys)


def test_of_several_addresses_none_is_chosen(cloud: Cloud, capsys: Capture) -> None:
    both = sorted(make_address(cloud)["PublicIp"] for _ in range(2))
    said = refusal(cloud, capsys)
    assert "are all tagged Role=voice and as the address: untag all but one" in said
    assert all(each in said for each in both)


# --- terminate ----------------------------------------------------------------------------------------------------


def test_only_the_named_instance_is_terminated(cloud: Cloud, capsys: Capture) -> None:
    assert f"no instance in {REGION} carries Role=voice" in refusal(cloud, capsys, "--terminate", "voice")
    cloud.launch("--yes")
    assert "Role=voice is voice, not voice-2" in refusal(cloud, capsys, "--terminate", "voice-2")
    assert cloud.launch("--terminate", "voice", "--dry-run") == 0
    assert cloud.changes == []


# --- what AWS refuses ---------------------------------------------------------------------------------------------


def test_every_missing_permission_to_look_is_told_at_once(cloud: Cloud, capsys: Capture) -> None:
    cloud.refuses["DescribeVolumes"] = [("UnauthorizedOperation", "You are not authorized to perform this operation.")]
    cloud.refuses["GetRole"] = [("AccessDenied", "User: x is not authorized to perform: iam:GetRole on resource: y")]
    said = refusal(cloud, capsys)
    assert "! ec2:DescribeVolumes is not allowed to you" in said
    assert "! iam:GetRole is not allowed to you" in said
    assert "docs/decisions/launch.md" in said


def test_a_permission_that_the_call_needs_besides_is_the_one_that_is_named(cloud: Cloud, capsys: Capture) -> None:
    words = (
        "You are not authorized to perform this operation. User: someone is not authorized to perform: iam:PassRole on "
        "resource: voice-host because no identity-based policy allows it. Encoded authorization failure message: xYz"
        * 2
    )
    cloud.refuses["RunInstances"] = [("UnauthorizedOperation", words)]
    assert cloud.launch("--yes") == 1
    said = capsys.readouterr().out
    assert "iam:PassRole is not allowed to you (asked for by ec2:RunInstances)" in said
    assert "xYz" not in said


def test_a_quota_is_told_with_its_name(cloud: Cloud, capsys: Capture) -> None:
    cloud.refuses["RunInstances"] = [
        ("VcpuLimitExceeded", "You have requested more vCPU capacity than your limit of 0")
    ]
    assert cloud.launch("--yes") == 1
    assert '"Running On-Demand G and VT instances"' in capsys.readouterr().out


def test_want_of_room_in_the_only_zone_is_told_with_what_holds_it_there(cloud: Cloud, capsys: Capture) -> None:
    offer(cloud, f"{REGION}a")
    cloud.refuses["RunInstances"] = [("InsufficientInstanceCapacity", "We currently do not have sufficient capacity")]
    assert cloud.launch("--yes") == 1
    assert "the models volume, VOICE_SUBNET, or where g6.xlarge is offered, hold it there" in capsys.readouterr().out
