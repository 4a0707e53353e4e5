"""The instance's role and instance profile, with the one policy that policy.py says."""

from __future__ import annotations

import json
from typing import Any

from voicestack.launch import policy
from voicestack.launch.calls import Aws, LaunchError
from voicestack.launch.parts import Change, Known, Part
from voicestack.launch.wishes import Wish

THING = "role"


def examine(aws: Aws, wish: Wish, known: Known) -> Part:
    """What the role lacks.

    Raises:
        LaunchError: IAM cannot be asked.
    """
    name = wish.host_name
    part = Part(THING)
    wanted = policy.permissions(wish.settings, known.account, known.partition)
    role = _get(aws, "get_role", "Role", RoleName=name)
    if role is None:
        part.changes.append(Change(f"make the role {name}, which EC2 may give to instances", lambda: _make(aws, wish)))
    elif not {(each["Key"], each["Value"]) for each in role.get("Tags", [])} >= set(wish.tags):
        part.refusals.append(f"a role {name} exists without the tags {wish.shown_tags}: set launch_name to another")
        return part
    else:
        part.found = name
        _compare(aws, part, name, role)
    if role is None or _get(aws, "get_role_policy", "PolicyDocument", RoleName=name, PolicyName=policy.NAME) != wanted:
        model = wish.settings.agent.bedrock_model
        part.changes.append(Change(f"allow it {model} on Bedrock, nothing else", lambda: _allow(aws, name, wanted)))
    _profile(aws, wish, part)
    return part


def _compare(aws: Aws, part: Part, name: str, role: dict[str, Any]) -> None:
    if role["AssumeRolePolicyDocument"] != policy.trust():
        document = json.dumps(policy.trust())
        part.changes.append(
            Change(
                "let EC2 alone have it (others were trusted)",
                lambda: _change(aws, "update_assume_role_policy", RoleName=name, PolicyDocument=document),
            )
        )
    inline = aws.call("iam", "list_role_policies", RoleName=name)["PolicyNames"]
    attached = aws.call("iam", "list_attached_role_policies", RoleName=name)["AttachedPolicies"]
    others = sorted({*inline, *(each["PolicyName"] for each in attached)} - {policy.NAME})
    if others:
        part.notes.append(f"it may do more than the host needs, by policies from elsewhere: {', '.join(others)}")


def _profile(aws: Aws, wish: Wish, part: Part) -> None:
    name = wish.host_name
    profile = _get(aws, "get_instance_profile", "InstanceProfile", InstanceProfileName=name)
    holds = [each["RoleName"] for each in profile["Roles"]] if profile else []
    if profile is None:
        part.changes.append(
            Change(
                f"make the instance profile {name}",
                lambda: _change(aws, "create_instance_profile", InstanceProfileName=name, Tags=wish.tagged("profile")),
            )
        )
    if not holds:
        part.changes.append(
            Change(
                "put the role into the instance profile",
                lambda: _change(aws, "add_role_to_instance_profile", InstanceProfileName=name, RoleName=name),
            )
        )
    elif holds != [name]:
        part.refusals.append(f"the instance profile {name} holds the role {holds[0]}: set launch_name to another")


def _get(aws: Aws, operation: str, answer: str, **arguments: str) -> Any:
    try:
        return aws.call("iam", operation, **arguments)[answer]
    except LaunchError as error:
        if error.code == "NoSuchEntity":
            return None
        raise


def _make(aws: Aws, wish: Wish) -> None:
    _change(
        aws,
        "create_role",
        RoleName=wish.host_name,
        AssumeRolePolicyDocument=json.dumps(policy.trust()),
        Description="A voice host: its agent asks Bedrock",
        Tags=wish.tagged("role"),
    )


def _allow(aws: Aws, name: str, wanted: dict[str, Any]) -> None:
    _change(aws, "put_role_policy", RoleName=name, PolicyName=policy.NAME, PolicyDocument=json.dumps(wanted))


def _change(aws: Aws, operation: str, **arguments: Any) -> None:
    aws.change("iam", operation, **arguments)
