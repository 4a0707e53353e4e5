"""The instance: found by the inventory's tags, launched if there is none, set right when it differs."""

from __future__ import annotations

from functools import partial
from typing import Any

from voicestack.connect.ec2 import ALIVE, name_of
from voicestack.connect.models_volume import HOST, PART, is_ours
from voicestack.launch.calls import Aws, LaunchError, await_state
from voicestack.launch.parts import HostPart, Known
from voicestack.launch.place import Place
from voicestack.launch.wishes import Wish

METADATA = {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 1}
"""One hop: whatever shares the host's network (agent, Caddy, LiveKit, sshd's key command) reaches it; the engines, on
Docker's bridge, are a hop further and get no credentials of the role."""

LIMIT_S = {"running": 600, "terminated": 900}
ENDING = "shutting-down"


def find_instance(aws: Aws, wish: Wish, states: list[str] = ALIVE) -> dict[str, Any] | None:
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


def plan_instance(aws: Aws, wish: Wish, known: Known, host: dict[str, Any]) -> HostPart:
    """What differs on the one that there is. Asks nothing."""
    part = HostPart("instance", found=f"{host['InstanceId']} ({name_of(host)}, {host['InstanceType']}, {known.zone})")
    kind, is_now = wish.settings.launch.instance_type, host["State"]["Name"]
    if is_now in ("stopping", "stopped"):
        part.refusals.append(f"it is {is_now}: start it, then run this again")
    if is_now == "pending":
        part.step("wait until it runs", wait_until, "running", aws, known)
    if host["InstanceType"] != kind:
        part.refusals.append(
            f"it is a {host['InstanceType']}, launch_instance_type is {kind}: change the setting, or rebuild it "
            "(--terminate, then launch again), or stop it and change its type by hand"
        )
    options = host.get("MetadataOptions", {})
    if not METADATA.items() <= options.items():
        narrow = partial(aws.change, "ec2", "modify_instance_metadata_options")
        part.step("allow IMDSv2 alone, one hop", narrow, InstanceId=known.instance, **METADATA)
    groups = {each["GroupId"]: each["GroupName"] for each in host["SecurityGroups"]}
    if list(groups) != [known.group]:
        others = ", ".join(f"{key} ({name})" for key, name in groups.items() if key != known.group)
        text = f"give it the security group {wish.host_name} alone" + (f"; off comes {others}" if others else "")
        part.step(text, lambda: modify(aws, known, Groups=[known.group]))
    profile = host.get("IamInstanceProfile", {}).get("Arn", "").rpartition("/")[2]
    if not profile:
        give = partial(aws.change, "ec2", "associate_iam_instance_profile", InstanceId=known.instance)
        named = {"Name": wish.host_name}
        part.step(f"give it the instance profile {wish.host_name}", give, IamInstanceProfile=named)
    elif profile != wish.host_name:
        part.refusals.append(
            f"its instance profile is {profile}, not {wish.host_name}: change it in the console (Modify IAM role)"
        )
    return part


def plan_launch(aws: Aws, wish: Wish, known: Known, place: Place, image: dict[str, Any]) -> HostPart:
    """What will be launched. Asks nothing."""
    part, launch = HostPart("instance"), wish.settings.launch
    text = (
        f"launch {wish.name}, {launch.instance_type}, in {place.zone} ({place.subnet}), of {image['Name']} "
        f"({image['ImageId']}); root volume {launch.root_gib} GiB, gp3, encrypted; IMDSv2 only, one hop; no key pair"
    )
    part.step(text, _launch, aws, wish, known, place, image)
    return part


def _launch(aws: Aws, wish: Wish, known: Known, place: Place, image: dict[str, Any]) -> None:
    launch = wish.settings.launch
    root = {"VolumeSize": launch.root_gib, "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}
    try:
        made = aws.change(
            "ec2",
            "run_instances",
            ImageId=image["ImageId"],
            InstanceType=launch.instance_type,
            MinCount=1,
            MaxCount=1,
            SubnetId=place.subnet,
            SecurityGroupIds=[known.group],
            IamInstanceProfile={"Name": wish.host_name},
            MetadataOptions=METADATA,
            BlockDeviceMappings=[{"DeviceName": image["RootDeviceName"], "Ebs": root}],
            TagSpecifications=[*wish.specification("instance", HOST), *wish.specification("volume", "root")],
        )
    except LaunchError as error:
        if error.code != "InsufficientInstanceCapacity":
            raise
        others = " or ".join(place.others)
        held = f"the models volume, VOICE_SUBNET, or where {launch.instance_type} is offered, hold it there"
        raise LaunchError(
            f"{place.zone} has no {launch.instance_type} to spare now ({error.code}): try again later"
            + (f", or elsewhere: --data launch_zone={others}" if others else f"; {held}")
        ) from error
    known.instance = made["Instances"][0]["InstanceId"]
    wait_until("running", aws, known)


def plan_checks(aws: Aws, known: Known) -> HostPart:
    """EC2's own checks of the machine and its network, after a launch."""
    part = HostPart("status")
    checked, what = partial(_checked, aws, known), "EC2's status check"
    part.step("wait until EC2's checks pass, some minutes", await_state, what, checked, "ok", limit_s=900)
    return part


def _checked(aws: Aws, known: Known) -> str:
    answer = aws.call("ec2", "describe_instance_status", InstanceIds=[known.instance])["InstanceStatuses"]
    if not answer:
        return "not there yet"
    states = {answer[0]["InstanceStatus"]["Status"], answer[0]["SystemStatus"]["Status"]}
    return ", ".join(sorted(states - {"ok"})) or "ok"


def plan_protection(part: HostPart, aws: Aws, known: Known) -> None:
    """Against termination by mistake. Last, so that what could not be finished is easily thrown away."""
    if known.instance:
        asked = {"InstanceId": known.instance, "Attribute": "disableApiTermination"}
        if aws.call("ec2", "describe_instance_attribute", **asked)["DisableApiTermination"]["Value"]:
            part.found = "against termination"
            return
    part.step("protect the instance from termination (--terminate takes that off)", protect, aws, known, on=True)


def protect(aws: Aws, known: Known, *, on: bool) -> None:
    """Switch the protection."""
    modify(aws, known, DisableApiTermination={"Value": on})


def modify(aws: Aws, known: Known, **what: Any) -> None:
    """Change an attribute of the instance."""
    aws.change("ec2", "modify_instance_attribute", InstanceId=known.instance, **what)


def wait_until(wanted: str, aws: Aws, known: Known) -> None:
    """Return when the instance is "running" or "terminated"."""

    def now() -> str:
        reservations = aws.call("ec2", "describe_instances", InstanceIds=[known.instance])["Reservations"]
        found = reservations[0]["Instances"][0]
        state = str(found["State"]["Name"])
        if wanted == "running" and state in (ENDING, "terminated"):
            reason = found.get("StateReason", {}).get("Message", "")  # a key that is disabled, no room
            raise LaunchError(f"{known.instance} was ended as soon as it began: {reason}")
        return state

    await_state(known.instance, now, wanted, limit_s=LIMIT_S[wanted])
