"""The instance: found by the inventory's tags, set right when it differs. first_start.py launches one."""

from __future__ import annotations

from typing import Any

from voicestack.connect.ec2 import ALIVE, name_of
from voicestack.connect.models_volume import HOST, PART, is_ours
from voicestack.launch.calls import Aws, LaunchError
from voicestack.launch.parts import Change, Known, Part, Say
from voicestack.launch.waiting import until
from voicestack.launch.wishes import Wish

THING = "instance"
METADATA = {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 1}
"""One hop: whatever shares the host's network (agent, Caddy, LiveKit, sshd's key command) reaches it; the engines, on
Docker's bridge, are a hop further and get no credentials of the role."""

RUNNING_S = 600
ENDING = ["shutting-down"]


def find(aws: Aws, wish: Wish, states: list[str] = ALIVE) -> dict[str, Any] | None:
    """The instance in one of these states as EC2 describes it, or None.

    Raises:
        LaunchError: there are several, it is not one of voicestack.launch, or EC2 cannot be asked.
    """
    in_state = {"Name": "instance-state-name", "Values": states}
    answer = aws.call("ec2", "describe_instances", Filters=[*wish.filters(), in_state])
    found = [each for reservation in answer["Reservations"] for each in reservation["Instances"]]
    if len(found) > 1:
        shown = ", ".join(f"{name_of(each)} ({each['InstanceId']})" for each in found)
        raise LaunchError(
            f"{len(found)} instances carry {wish.shown_tags}: {shown}. This command looks after one host: "
            "narrow VOICE_TAG ('Role=voice;Stage=prod')"
        )
    if found and not is_ours(found[0]):
        raise LaunchError(
            f"{name_of(found[0])} ({found[0]['InstanceId']}) carries {wish.shown_tags} and was not made by this "
            f"command. To have it looked after from here tag it {PART}={HOST}; for one beside it take another VOICE_TAG"
        )
    return found[0] if found else None


def examine(aws: Aws, wish: Wish, known: Known, host: dict[str, Any], say: Say) -> Part:
    """What differs on the one that there is. Asks nothing."""
    part = Part(THING, found=f"{host['InstanceId']} ({name_of(host)}, {host['InstanceType']}, {known.zone})")
    kind, is_now = wish.settings.launch.instance_type, host["State"]["Name"]
    if is_now in ("stopping", "stopped"):
        part.refusals.append(f"it is {is_now}: start it, then run this again")
    if is_now == "pending":
        part.changes.append(Change("wait until it runs", lambda: wait_until_running(aws, known.instance, say)))
    if host["InstanceType"] != kind:
        part.refusals.append(
            f"it is a {host['InstanceType']}, launch_instance_type is {kind}: change the setting, or rebuild it "
            "(--terminate, then launch again), or stop it and change its type by hand"
        )
    options = host.get("MetadataOptions", {})
    if {key: options.get(key) for key in METADATA} != METADATA:
        part.changes.append(Change("allow IMDSv2 alone, one hop", lambda: _metadata(aws, known)))
    groups = {each["GroupId"]: each["GroupName"] for each in host["SecurityGroups"]}
    if list(groups) != [known.group]:
        others = ", ".join(f"{key} ({name})" for key, name in groups.items() if key != known.group)
        text = f"give it the security group {wish.host_name} alone" + (f"; off comes {others}" if others else "")
        part.changes.append(Change(text, lambda: _modify(aws, known, Groups=[known.group])))
    profile = host.get("IamInstanceProfile", {}).get("Arn", "").rpartition("/")[2]
    if not profile:
        text = f"give it the instance profile {wish.host_name}"
        part.changes.append(Change(text, lambda: _give_profile(aws, wish, known)))
    elif profile != wish.host_name:
        part.refusals.append(
            f"its instance profile is {profile}, not {wish.host_name}: change it in the console (Modify IAM role)"
        )
    return part


def protection(aws: Aws, known: Known) -> Part:
    """Against termination by mistake. Last, so that what could not be finished is easily thrown away.

    Raises:
        LaunchError: EC2 cannot be asked.
    """
    part = Part("protection")
    if known.instance:
        answer = aws.call(
            "ec2", "describe_instance_attribute", InstanceId=known.instance, Attribute="disableApiTermination"
        )
        if answer["DisableApiTermination"]["Value"]:
            part.found = "against termination"
            return part
    text = "protect the instance from termination (--terminate takes that off)"
    part.changes.append(Change(text, lambda: protect(aws, known, on=True)))
    return part


def protect(aws: Aws, known: Known, *, on: bool) -> None:
    """Switch the protection.

    Raises:
        LaunchError: EC2 refused.
    """
    _modify(aws, known, DisableApiTermination={"Value": on})


def wait_until_running(aws: Aws, instance: str, say: Say) -> None:
    """Return when it runs.

    Raises:
        LaunchError: it does not; with EC2's reason if it was ended at once, for want of a key or of room.
    """

    def now() -> str:
        name, reason = state(aws, instance)
        if name in ("shutting-down", "terminated"):
            raise LaunchError(f"{instance} was ended as soon as it began: {reason}")
        return name

    until(instance, now, "running", limit_s=RUNNING_S, say=say)


def state(aws: Aws, instance: str) -> tuple[str, str]:
    """What EC2 calls its state ("running"), and EC2's reason for it.

    Raises:
        LaunchError: EC2 cannot be asked.
    """
    try:
        found = aws.call("ec2", "describe_instances", InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    except LaunchError as error:
        if error.too_early:
            return "not known yet", ""
        raise
    return str(found["State"]["Name"]), str(found.get("StateReason", {}).get("Message", ""))


def _metadata(aws: Aws, known: Known) -> None:
    aws.change("ec2", "modify_instance_metadata_options", InstanceId=known.instance, **METADATA)


def _give_profile(aws: Aws, wish: Wish, known: Known) -> None:
    profile = {"Name": wish.host_name}
    aws.change("ec2", "associate_iam_instance_profile", InstanceId=known.instance, IamInstanceProfile=profile)


def _modify(aws: Aws, known: Known, **what: Any) -> None:
    aws.change("ec2", "modify_instance_attribute", InstanceId=known.instance, **what)
