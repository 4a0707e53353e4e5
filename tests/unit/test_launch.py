"""What launch decides without asking anybody: ports, the role's policy, the place, what AWS's refusals mean."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from agent.voice_agent.residency import EU
from voicestack.aws import Account
from voicestack.connect import environment, models_volume
from voicestack.connect.ec2 import InstancesError, tags_of
from voicestack.launch import role, wishes
from voicestack.launch.calls import Aws, LaunchError, await_state, explained
from voicestack.launch.instance import METADATA, plan_instance
from voicestack.launch.parts import Known
from voicestack.launch.place import choose
from voicestack.launch.ports import Rule, public, ssh
from voicestack.launch.volume import plan_volume
from voicestack.launch.wishes import Wish, mistakes
from voicestack.settings.load import parse
from voicestack.settings.model import Settings

SUBNETS = [
    {"SubnetId": f"subnet-{letter}", "AvailabilityZone": f"eu-central-1{letter}", "VpcId": "vpc-1"} for letter in "abc"
]
ALL = [each["AvailabilityZone"] for each in SUBNETS]


def with_(data: dict[str, Any], **changes: Any) -> Settings:
    return parse({**data, **changes})


def wanted(settings: Settings, **variables: str) -> Wish:
    return Wish(settings, environment.read(variables))


# --- ports --------------------------------------------------------------------------------------------------------


def test_what_is_switched_off_is_not_open(data: dict[str, Any]) -> None:
    settings = with_(data, site_acme="internal", livekit_turn_enabled=False, livekit_stun_servers=["192.0.2.1:3478"])
    assert {(rule.protocol, rule.first) for rule in public(settings)} == {("tcp", 443), ("tcp", 7881), ("udp", 50000)}


def test_a_rule_reads_as_a_sentence() -> None:
    assert [str(rule) for rule in ssh(["203.0.113.7"], [])] == ["tcp 22 from 203.0.113.7/32"]
    assert str(Rule("-1", -1, -1, "0.0.0.0/0")) == "everything from 0.0.0.0/0"
    assert str(Rule("udp", 1, 2, "pl-1")) == "udp 1-2 from pl-1"


# --- the role -----------------------------------------------------------------------------------------------------


def test_a_model_of_the_region_is_allowed_there_alone(data: dict[str, Any]) -> None:
    settings = with_(data, agent_bedrock_model="mistral.mistral-large-2402-v1:0", site_region="eu-west-3")
    (statement,) = role.permissions(settings, "111122223333", "aws")["Statement"]
    assert statement["Resource"] == ["arn:aws:bedrock:eu-west-3::foundation-model/mistral.mistral-large-2402-v1:0"]
    assert set(statement["Action"]) == {"bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"}


def test_a_profile_s_model_is_allowed_in_the_allowed_regions_and_through_it_alone(data: dict[str, Any]) -> None:
    settings = with_(data, site_allowed_regions=[*EU, "il-central-1"])
    profile, behind = role.permissions(settings, "111122223333", "aws")["Statement"]
    assert [each.split(":")[3] for each in behind["Resource"]] == [*EU, "il-central-1"]
    assert behind["Condition"] == {"StringEquals": {"bedrock:InferenceProfileArn": profile["Resource"][0]}}


# --- the place ----------------------------------------------------------------------------------------------------


def test_the_volume_s_zone_wins_over_the_first(settings: Settings) -> None:
    assert choose(wanted(settings), "", ALL, SUBNETS).zone == "eu-central-1a"
    place = choose(wanted(settings), "eu-central-1c", ALL, SUBNETS)
    assert (place.zone, place.subnet, place.others) == ("eu-central-1c", "subnet-c", ())


@pytest.mark.parametrize(
    ("volume", "zone", "offered", "subnets", "said"),
    [
        ("a", "eu-central-1b", ALL, SUBNETS, "launch_zone: eu-central-1b, but the models volume is in eu-central-1a"),
        ("", "", [], SUBNETS, "eu-central-1 does not offer g6.xlarge"),
        ("", "", ALL, [], "VOICE_SUBNET: eu-central-1 has no default VPC"),
        ("c", "", ALL, SUBNETS[:2], "a subnet in eu-central-1c is needed; there are default ones in eu-central-1a, eu"),
        ("", "", ALL[2:], SUBNETS[:2], "g6.xlarge is offered in eu-central-1c, not in eu-central-1a"),
        ("", "eu-central-1a", ALL[1:], SUBNETS, "g6.xlarge is offered in eu-central-1b, eu-central-1c, not in eu-cen"),
        ("a", "", ALL[1:], SUBNETS, "not in eu-central-1a, where the models volume is; a volume stays in its zone"),
    ],
)
def test_where_nothing_can_be_launched_the_message_says_why(
    data: dict[str, Any], volume: str, zone: str, offered: list[str], subnets: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(LaunchError, match=said):
        choose(wanted(with_(data, launch_zone=zone)), volume and f"eu-central-1{volume}", offered, subnets)


# --- what there is ------------------------------------------------------------------------------------------------

NOBODY = Aws(Account("eu-central-1"))
"""A plan of what was described already asks nothing."""

KNOWN = Known(instance="i-1", zone="eu-central-1a", group="sg-1")
VOLUME = {"VolumeId": "vol-1", "Size": 50, "AvailabilityZone": "eu-central-1a", "State": "available", "Encrypted": True}
HOST = {
    "InstanceId": "i-1",
    "InstanceType": "g6.xlarge",
    "State": {"Name": "running"},
    "MetadataOptions": METADATA,
    "SecurityGroups": [{"GroupId": "sg-1", "GroupName": "voice-host"}],
    "IamInstanceProfile": {"Arn": "arn:aws:iam::111122223333:instance-profile/voice-host"},
}


def attached(instance: str, device: str) -> dict[str, Any]:
    return {"Attachments": [{"InstanceId": instance, "Device": device, "State": "attached"}]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"Encrypted": False}, "vol-1 is not encrypted: copy it by an encrypted snapshot"),
        ({"State": "creating"}, "vol-1 is in the state creating: wait, or look at it in the console"),
        ({"State": "error"}, "vol-1 is in the state error: wait, or look at it in the console"),
        ({"AvailabilityZone": "eu-central-1c"}, "vol-1 is in eu-central-1c, the instance in eu-central-1a"),
        (attached("i-2", "/dev/sdm"), "vol-1 is attached to i-2: end that instance or detach it there"),
        (attached("i-1", "/dev/sdf"), "vol-1 is attached as /dev/sdf; the inventory looks for it at /dev/sdm"),
    ],
)
def test_a_volume_that_cannot_serve_is_refused(settings: Settings, change: dict[str, Any], said: str) -> None:
    part = plan_volume(NOBODY, wanted(settings), replace(KNOWN), {**VOLUME, **change}, HOST)
    assert [each.startswith(said) for each in part.refusals] == [True] * bool(said)
    assert [each.text for each in part.changes] == ["attach it as /dev/sdm"]


def test_another_volume_in_the_place_of_ours_is_refused(settings: Settings) -> None:
    host = {**HOST, "BlockDeviceMappings": [{"DeviceName": "/dev/sdm", "Ebs": {"VolumeId": "vol-2"}}]}
    for ours in (None, VOLUME):
        part = plan_volume(NOBODY, wanted(settings), replace(KNOWN), ours, host)
        (refusal,) = part.refusals
        assert refusal.startswith("vol-2 is attached to the instance as /dev/sdm, and is not tagged")


def test_a_volume_of_another_size_is_told_and_taken(settings: Settings) -> None:
    part = plan_volume(NOBODY, wanted(settings), replace(KNOWN), {**VOLUME, "Size": 40}, HOST)
    (note,) = part.notes
    assert note.startswith("it has 40 GiB, launch_models_gib is 50: volumes are not resized here")
    assert part.refusals == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"State": {"Name": "stopped"}}, "it is stopped: start it, then run this again"),
        ({"State": {"Name": "stopping"}}, "it is stopping: start it, then run this again"),
        ({"InstanceType": "g6.2xlarge"}, "it is a g6.2xlarge, launch_instance_type is g6.xlarge: change the setting"),
        ({"IamInstanceProfile": {"Arn": "arn:aws:iam::1:instance-profile/theirs"}}, "its instance profile is theirs"),
    ],
)
def test_an_instance_that_cannot_serve_is_refused(settings: Settings, change: dict[str, Any], said: str) -> None:
    part = plan_instance(NOBODY, wanted(settings), KNOWN, {**HOST, **change})
    assert [each.startswith(said) for each in part.refusals] == [True] * bool(said)
    assert part.changes == []


# --- mistakes -----------------------------------------------------------------------------------------------------


def test_the_root_disk_has_room_for_the_image_store_of_the_docker_that_comes(data: dict[str, Any]) -> None:
    twice = {**data["docker_versions"], "docker-ce": "5:29.8.2-1"}
    assert mistakes(with_(data, docker_versions=twice), environment.read({})) == []
    assert mistakes(with_(data, launch_root_gib=100), environment.read({})) == []
    said = mistakes(with_(data, launch_root_gib=100, docker_versions=twice), environment.read({}))
    assert said == ["launch_root_gib: 100 is less than preflight_disk_root_gib and _docker (105)"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"launch_instance_type": "g6e.xlarge"}, "launch_instance_type: g6e.xlarge has an L40S; gpu_card is L4"),
        ({"gpu_card": "46068"}, "launch_instance_type: g6.xlarge has an L4; gpu_card is 46068"),
        ({"launch_name": "sg-voice"}, "launch_name: sg-voice: EC2 takes no security group whose name begins with sg-"),
        ({"launch_zone": "eu-west-1a"}, "launch_zone: eu-west-1a is not in eu-central-1 (VOICE_REGION)"),
        ({"launch_root_gib": 69}, "launch_root_gib: 69 is less than preflight_disk_root_gib and _docker (70)"),
        ({"launch_models_gib": 24}, "launch_models_gib: 24 is less than preflight_disk_models_gib (25)"),
    ],
)
def test_each_mistake_alone_is_told(data: dict[str, Any], changes: dict[str, Any], said: str) -> None:
    (problem,) = mistakes(with_(data, **changes), environment.read({}))
    assert problem.startswith(said)


def test_what_just_works_is_no_mistake(data: dict[str, Any]) -> None:
    least = with_(data, launch_root_gib=70, launch_models_gib=25, launch_zone="eu-central-1b")
    assert mistakes(least, environment.read({})) == []
    assert mistakes(with_(data, launch_instance_type="x9.large"), environment.read({})) == []  # the operator's word
    assert mistakes(with_(data, launch_instance_type="g6e.xlarge", gpu_card="46068"), environment.read({})) == []


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"VOICE_SSH_FROM": "203.0.113.7/32,::/0"}, "VOICE_SSH_FROM: ::/0 is the whole internet"),
        ({"VOICE_SSH_FROM": "203.0.113.7/24"}, "VOICE_SSH_FROM: '203.0.113.7/24' is no network"),
        ({}, "VOICE_SSH_FROM: not set"),
        ({"VOICE_CONNECT": "ssh", "VOICE_SSH_FROM": "203.0.113.7"}, "VOICE_CONNECT: a new host has no key pair"),
        ({"VOICE_SSH_FROM": "203.0.113.7, 2001:db8::/48"}, ""),
        ({"VOICE_CONNECT": "tunnel"}, ""),
    ],
)
def test_who_could_connect_to_a_new_host(variables: dict[str, str], said: str) -> None:
    problems = wishes.ssh_mistakes(environment.read(variables))
    assert [each.startswith(said) for each in problems] == [True] * bool(said)


def test_a_name_among_the_tags_is_the_host_s(settings: Settings) -> None:
    assert wanted(settings).name == "voice"
    assert wanted(settings, VOICE_TAG="Role=voice;Name=second").name == "second"


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ("Role=voi?", "is a pattern"),
        ("Role=voi*", "is a pattern"),
        ("voice-part=host", "are not yours to set"),
        ("aws:Role=voice", "are not yours to set"),
        ("Role", "must be KEY=VALUE"),
        ("Role=a;Role=b", "must be KEY=VALUE, several with ';' between them, each key once"),
        ("Role=voice; Stage=prod", ""),
    ],
)
def test_tags_that_can_be_given(tags: str, said: str) -> None:
    problems = wishes.tag_mistakes(tags)
    assert [said in each for each in problems] == [True] * bool(said)


# --- what AWS says ------------------------------------------------------------------------------------------------


PASS = "User: x is not authorized to perform: iam:PassRole on resource: y."


@pytest.mark.parametrize(
    ("code", "words", "said"),
    [
        ("UnauthorizedOperation", "No.", "ec2:RunInstances is not allowed to you (asked for by ec2:RunInstances); "),
        ("AccessDenied", f"{PASS} Encoded authorization failure message: z", "iam:PassRole is not allowed to you (ask"),
        ("AccessDenied", PASS, f"the policy that you need is in docs/decisions/launch.md. AWS says: {PASS}"),
        ("VcpuLimitExceeded", "Limit of 0", 'in Service Quotas, EC2 (for g6: "Running On-Demand G and VT instances"'),
        ("ExpiredToken", "The security token included in the request is expired", "log in again"),
        ("SignatureDoesNotMatch", "The request signature we calculated", "the secret access key is wrong"),
        ("AuthFailure", "Not authorized for images: [ami-1]", "this account may not use it"),
        ("Unsupported", "Not here.", "ec2:RunInstances: Unsupported: Not here."),
    ],
)
def test_a_refusal_names_the_permission_the_quota_or_aws_s_own_words(code: str, words: str, said: str) -> None:
    refused = explained(ClientError({"Error": {"Code": code, "Message": words}}, "RunInstances"), "ec2:RunInstances")
    assert said in refused
    assert "Encoded" not in refused


def test_waiting_says_what_changes_and_ends_with_a_clear_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = iter(range(0, 10_000, 10))
    monkeypatch.setattr("voicestack.launch.calls.time.monotonic", lambda: next(now))
    monkeypatch.setattr("voicestack.launch.calls.time.sleep", lambda _: None)
    states = iter(["pending", "pending", "starting", "running"])
    await_state("it", lambda: next(states), "running", limit_s=600)
    said = [line.split("(")[0].strip() for line in capsys.readouterr().out.splitlines()]
    assert said == ["it is pending", "it is starting", "it is running"]
    with pytest.raises(LaunchError, match="it is still pending after 60 s, not running"):
        await_state("it", lambda: "pending", "running", limit_s=60)


# --- the inventory ------------------------------------------------------------------------------------------------


def test_a_volume_counts_only_on_an_instance_of_ours_and_under_its_name() -> None:
    mapping = [{"DeviceName": "/dev/sdm", "Ebs": {"VolumeId": "vol-0123456789abcdef0"}}]
    ours = {"Tags": [{"Key": "voice-part", "Value": "host"}], "BlockDeviceMappings": mapping}
    path = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0"
    assert models_volume.device_of(ours) == path
    assert models_volume.device_of({**ours, "Tags": []}) == ""
    assert models_volume.device_of({**ours, "BlockDeviceMappings": [{**mapping[0], "DeviceName": "/dev/sdf"}]}) == ""


def test_blanks_around_a_variable_do_not_count_and_blanks_alone_are_unset() -> None:
    read = environment.read({"VOICE_REGION": "eu-west-1 ", "VOICE_DOMAIN": " ", "VOICE_ACME_EMAIL": " a@example.org"})
    assert read.region == "eu-west-1"
    assert read.site == {"site_acme_email": "a@example.org"}


def test_the_blanks_in_a_list_of_tags_do_not_count_and_a_key_counts_once() -> None:
    assert tags_of("tag:Role=voice; Stage = prod") == [("Role", "voice"), ("Stage", "prod")]
    for wrong in ("tag:Role=a;Role=b", "tag:Role=a; Role=b", "tag:Role=a;", "tag: =a"):
        with pytest.raises(InstancesError, match="each key once"):
            tags_of(wrong)


def test_the_setting_takes_the_path(data: dict[str, Any]) -> None:
    path = models_volume.path_of("vol-0123456789abcdef0")
    assert with_(data, weights_volume=path).weights.volume == path
