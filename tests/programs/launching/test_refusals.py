"""What cannot be done is said with its fix, and before anything is changed (each reason alone: unit/test_launch.py)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyinfra.api.inventory import Inventory

from tests.programs.instances import launch, tagged
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


def test_what_keeps_settings_from_being_read_is_told_at_once(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("VOICE_CONNECT", "telnet")
    monkeypatch.setenv("VOICE_REGION", "eu-centralone")
    assert cloud.launch("--group", "prd", "--data", "launch_root_gib", "--data", "launch_zone") == 2
    assert cloud.calls == []
    first, *lines = capsys.readouterr().err.splitlines()
    assert first == "5 settings cannot work; nothing was changed:"
    starts = ("VOICE_CONNECT: ", "VOICE_REGION: ", "--group prd: ", "--data launch_root_gib: ", "--data launch_zone: ")
    assert [line.startswith(f"  - {start}") for line, start in zip(lines, starts, strict=True)] == [True] * 5


@pytest.mark.parametrize(
    ("networks", "status", "stdout", "stderr"),
    [
        ("", 2, "", "VOICE_SSH_FROM: not set, so nobody could connect"),
        ("203.0.113.7/32", 1, "there are no AWS credentials where boto3 looks for them", ""),
    ],
    ids=["a variable that is not set", "no credentials"],
)
def test_the_program_s_exit_status_says_what_kind_of_refusal_it_is(
    tmp_path: Path, networks: str, status: int, stdout: str, stderr: str
) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    done = subprocess.run(
        [sys.executable, "-m", "voicestack.launch", "--dry-run"],
        cwd=ROOT,
        env={**environment, "VOICE_SSH_FROM": networks},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status
    for printed, said in ((done.stdout, stdout), (done.stderr, stderr)):
        assert said in printed
        assert bool(said) == bool(printed)
        assert "Traceback" not in printed


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


# --- what there is ------------------------------------------------------------------------------------------------


def test_of_several_volumes_none_is_chosen(cloud: Cloud, capsys: Capture) -> None:
    one, two = cloud.make_volume(), cloud.make_volume(f"{REGION}b")
    said = refusal(cloud, capsys)
    assert "2 volumes are tagged Role=voice and as models" in said
    assert one in said
    assert two in said


def test_a_volume_of_another_live_instance_stays_there(cloud: Cloud, capsys: Capture) -> None:
    volume, other = cloud.make_volume(), launch(cloud.ec2, "other", Role="else")
    cloud.attach(volume, other)
    assert f"! {volume} is attached to {other}" in refusal(cloud, capsys)


def test_a_host_and_a_volume_that_do_not_fit_are_told_together(cloud: Cloud, capsys: Capture) -> None:
    cloud.make_host()
    volume = cloud.make_volume(f"{REGION}c")
    said = refusal(cloud, capsys, "--data", "launch_instance_type=g6.2xlarge")
    assert "! it is a g6.xlarge, launch_instance_type is g6.2xlarge" in said
    assert f"! {volume} is in {REGION}c, the instance in {REGION}a" in said


def test_an_instance_that_was_not_made_here_is_not_touched(cloud: Cloud, capsys: Capture) -> None:
    other = launch(cloud.ec2, "by-hand")
    said = refusal(cloud, capsys)
    assert f"by-hand ({other}) carries Role=voice and was not made by this command" in said
    assert "was not made by this command" in refusal(cloud, capsys, "--terminate", "by-hand")


def test_several_instances_need_a_narrower_tag(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    launch(cloud.ec2, "one", Stage="test")
    launch(cloud.ec2, "two", Stage="prod", **{"voice-part": "host"})
    assert "2 instances carry Role=voice" in refusal(cloud, capsys)
    monkeypatch.setenv("VOICE_TAG", "Role=voice; Stage = prod")
    assert cloud.launch("--dry-run") == 0


def test_what_has_our_name_and_not_our_tags_is_left_alone(cloud: Cloud, capsys: Capture) -> None:
    vpc = cloud.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    cloud.ec2.create_security_group(GroupName="voice-host", Description="theirs", VpcId=vpc)
    cloud.iam.create_role(RoleName="voice-host", AssumeRolePolicyDocument="{}")
    said = refusal(cloud, capsys)
    assert "is called voice-host too, without the tags Role=voice" in said
    assert "a role voice-host exists without the tags Role=voice" in said


def test_an_instance_profile_of_our_name_that_holds_another_role_is_refused(cloud: Cloud, capsys: Capture) -> None:
    cloud.iam.create_role(RoleName="theirs", AssumeRolePolicyDocument="{}")
    cloud.iam.create_instance_profile(InstanceProfileName="voice-host")
    cloud.iam.add_role_to_instance_profile(InstanceProfileName="voice-host", RoleName="theirs")
    assert "the instance profile voice-host holds the role theirs" in refusal(cloud, capsys)


def test_the_address_of_another_instance_stays_there_and_of_several_none_is_chosen(
    cloud: Cloud, capsys: Capture
) -> None:
    tags = tagged("elastic-ip", **{"Role": "voice", "voice-part": "address"})
    address, other = cloud.ec2.allocate_address(Domain="vpc", TagSpecifications=tags), launch(cloud.ec2, "x", Role="x")
    cloud.ec2.associate_address(AllocationId=address["AllocationId"], InstanceId=other)
    assert f"{address['PublicIp']} belongs to {other}: disassociate it there first" in refusal(cloud, capsys)
    second = cloud.ec2.allocate_address(Domain="vpc", TagSpecifications=tags)
    said = refusal(cloud, capsys)
    assert "are all tagged Role=voice and as the address: untag all but one" in said
    assert all(each["PublicIp"] in said for each in (address, second))


def test_only_the_named_instance_is_terminated(cloud: Cloud, capsys: Capture) -> None:
    assert f"no instance in {REGION} carries Role=voice" in refusal(cloud, capsys, "--terminate", "voice")
    cloud.launch("--yes")
    assert "Role=voice is voice, not voice-2" in refusal(cloud, capsys, "--terminate", "voice-2")
    assert cloud.launch("--terminate", "voice", "--dry-run") == 0
    assert cloud.changes == []


# --- places and images --------------------------------------------------------------------------------------------


def offer(cloud: Cloud, zone: str) -> None:
    found = [{"Location": zone, "InstanceType": "g6.xlarge"}]
    cloud.answers["DescribeInstanceTypeOfferings"] = {"InstanceTypeOfferings": found}


def test_without_a_wish_a_zone_that_offers_the_type_is_taken(cloud: Cloud) -> None:
    offer(cloud, f"{REGION}b")
    assert cloud.launch("--yes") == 0
    assert cloud.instance()["Placement"]["AvailabilityZone"] == f"{REGION}b"


def test_want_of_room_in_the_only_zone_is_told_with_what_holds_it_there(cloud: Cloud, capsys: Capture) -> None:
    offer(cloud, f"{REGION}a")
    cloud.refuses["RunInstances"] = [("InsufficientInstanceCapacity", "We currently do not have sufficient capacity")]
    assert cloud.launch("--yes") == 1
    assert "the models volume, VOICE_SUBNET, or where g6.xlarge is offered, hold it there" in capsys.readouterr().out


def test_an_image_that_cannot_be_launched_is_told_by_its_name(cloud: Cloud, capsys: Capture) -> None:
    said = refusal(cloud, capsys, "--data", "launch_image=/aws/service/canonical/ubuntu/none")
    assert f"launch_image: SSM in {REGION} has no public parameter /aws/service/canonical/ubuntu/none" in said
    arm = {"Name": "noble-arm64", "Architecture": "arm64", "RootDeviceName": "/dev/sda1"}
    cloud.answers_once["DescribeImages"] = [{"Images": []}, {"Images": [arm]}]
    assert f"names {cloud.image}, which {REGION} does not have" in refusal(cloud, capsys)
    assert "launch_image: noble-arm64 is for arm64; the stack needs x86_64" in refusal(cloud, capsys)


def test_no_endpoint_for_the_tunnel_is_told_with_the_command_that_makes_one(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("VOICE_CONNECT", "tunnel")
    cloud.answers["DescribeInstanceConnectEndpoints"] = {"InstanceConnectEndpoints": []}
    assert "aws ec2 create-instance-connect-endpoint" in refusal(cloud, capsys)


def test_every_missing_permission_to_look_is_told_at_once(cloud: Cloud, capsys: Capture) -> None:
    cloud.refuses["DescribeVolumes"] = [("UnauthorizedOperation", "You are not authorized to perform this operation.")]
    cloud.refuses["GetRole"] = [("AccessDenied", "User: x is not authorized to perform: iam:GetRole on resource: y")]
    said = refusal(cloud, capsys)
    assert "! ec2:DescribeVolumes is not allowed to you" in said
    assert "! iam:GetRole is not allowed to you" in said
