"""The host's security group: exactly the rules that ports.py says. What it lets out is left as EC2 makes it: all."""

from __future__ import annotations

from collections import defaultdict

from pyinfra.api.exceptions import ConnectError

from voicestack.connect import tunnel
from voicestack.launch import ports
from voicestack.launch.calls import Aws, LaunchError
from voicestack.launch.parts import HostPart, Known
from voicestack.launch.ports import Rule
from voicestack.launch.wishes import Wish


def plan_group(part: HostPart, aws: Aws, wish: Wish, known: Known) -> None:
    """What the group lacks, and what it lets in that it should not."""
    wanted = {**ports.public(wish.settings), **ports.ssh(wish.operator.ssh_from, _endpoints(aws, wish, known))}
    # A name is unique in a VPC.
    here = [{"Name": "group-name", "Values": [wish.host_name]}, {"Name": "vpc-id", "Values": [known.vpc]}]
    groups = aws.call("ec2", "describe_security_groups", Filters=here)["SecurityGroups"]
    existing: dict[Rule, list[str]] = {}
    if not groups:
        part.step(f"make {wish.host_name} in {known.vpc}; it lets everything out", _make, aws, wish, known)
    elif not wish.has_tags(groups[0]):
        part.refusals.append(
            f"{groups[0]['GroupId']} is called {wish.host_name} too, without the tags {wish.shown_tags}: set "
            "launch_name to another"
        )
        return
    else:
        known.group = groups[0]["GroupId"]
        part.found = f"{known.group} ({wish.host_name})"
        existing = _rules(aws, known.group)
    for rule, why in wanted.items():
        if rule not in existing:
            part.step(f"let in {rule} ({why})", _open, aws, known, rule, why)
    for rule, ids in existing.items():
        if rule not in wanted:
            close = {"GroupId": known.group, "SecurityGroupRuleIds": ids}
            part.step(f"no longer let in {rule}", aws.change, "ec2", "revoke_security_group_ingress", **close)


def _endpoints(aws: Aws, wish: Wish, known: Known) -> list[str]:
    """The security groups of the Instance Connect Endpoint that runs go through, if they go through one."""
    if wish.operator.connect != "tunnel":
        return []
    try:
        found = tunnel.find_endpoint(aws.account, wanted=wish.operator.endpoint, subnet=known.subnet, vpc=known.vpc)
    except ConnectError as error:
        raise LaunchError(f"VOICE_CONNECT=tunnel: {error}") from error
    return sorted(found["SecurityGroupIds"])


def _rules(aws: Aws, group: str) -> dict[Rule, list[str]]:
    """What the group lets in -> the ids of the rules that say so."""
    only = [{"Name": "group-id", "Values": [group]}]
    found = defaultdict[Rule, list[str]](list)
    for each in aws.call("ec2", "describe_security_group_rules", Filters=only)["SecurityGroupRules"]:
        if not each["IsEgress"]:
            found[ports.of_described(each)].append(each["SecurityGroupRuleId"])
    return found


def _make(aws: Aws, wish: Wish, known: Known) -> None:
    known.group = aws.change(
        "ec2",
        "create_security_group",
        GroupName=wish.host_name,
        Description="A voice host: callers, and ssh for its operators",
        VpcId=known.vpc,
        TagSpecifications=wish.specification("security-group", "group"),
    )["GroupId"]


def _open(aws: Aws, known: Known, rule: Rule, why: str) -> None:
    permission = ports.permission(rule, why)
    aws.change("ec2", "authorize_security_group_ingress", GroupId=known.group, IpPermissions=[permission])
