"""The instance's role and instance profile: ask Bedrock for the configured model, and nothing else.

Secrets in SSM are read by the controller, not by the host.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from agent.voice_agent.residency import geography
from voicestack.launch.calls import Aws, LaunchError
from voicestack.launch.parts import HostPart, Known
from voicestack.launch.wishes import Wish
from voicestack.settings.model import Settings

DESCRIPTION = "A voice host: its agent asks Bedrock"
POLICY = "bedrock"


def plan_role(part: HostPart, aws: Aws, wish: Wish, known: Known) -> None:
    """What the role lacks."""
    name, change = wish.host_name, partial(aws.change, "iam")
    wanted = permissions(wish.settings, known.account, known.partition)
    role = _get(aws, "get_role", "Role", RoleName=name)
    if role is None:
        make = partial(change, "create_role", RoleName=name, Description=DESCRIPTION, Tags=wish.tagged("role"))
        text = f"make the role {name}, which EC2 may give to instances"
        part.step(text, make, AssumeRolePolicyDocument=json.dumps(trust()))
    elif not wish.has_tags(role):
        part.refusals.append(f"a role {name} exists without the tags {wish.shown_tags}: set launch_name to another")
        return
    else:
        part.found = name
        if role["AssumeRolePolicyDocument"] != trust():
            narrow = partial(change, "update_assume_role_policy", RoleName=name)
            part.step("let EC2 alone have it (others were trusted)", narrow, PolicyDocument=json.dumps(trust()))
        inline = aws.call("iam", "list_role_policies", RoleName=name)["PolicyNames"]
        attached = aws.call("iam", "list_attached_role_policies", RoleName=name)["AttachedPolicies"]
        others = sorted({*inline, *(each["PolicyName"] for each in attached)} - {POLICY})
        if others:
            part.notes.append(f"it may do more than the host needs, by policies from elsewhere: {', '.join(others)}")
    if role is None or _get(aws, "get_role_policy", "PolicyDocument", RoleName=name, PolicyName=POLICY) != wanted:
        allow = partial(change, "put_role_policy", RoleName=name, PolicyName=POLICY)
        text = f"allow it {wish.settings.agent.bedrock_model} on Bedrock, nothing else"
        part.step(text, allow, PolicyDocument=json.dumps(wanted))
    profile = _get(aws, "get_instance_profile", "InstanceProfile", InstanceProfileName=name)
    if profile is None:
        make = partial(change, "create_instance_profile", InstanceProfileName=name)
        part.step(f"make the instance profile {name}", make, Tags=wish.tagged("profile"))
    holds = [each["RoleName"] for each in profile["Roles"]] if profile else []
    if not holds:
        put = partial(change, "add_role_to_instance_profile", InstanceProfileName=name)
        part.step("put the role into the instance profile", put, RoleName=name)
    elif holds != [name]:
        part.refusals.append(f"the instance profile {name} holds the role {holds[0]}: set launch_name to another")


def _get(aws: Aws, operation: str, answer: str, **arguments: str) -> Any:
    try:
        return aws.call("iam", operation, **arguments)[answer]
    except LaunchError as error:
        if error.code == "NoSuchEntity":
            return None
        raise


def trust() -> dict[str, Any]:
    """EC2 may give the role to instances."""
    principal = {"Service": "ec2.amazonaws.com"}
    return _document({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})


def permissions(settings: Settings, account: str, partition: str) -> dict[str, Any]:
    """InvokeModel, streamed or not, on agent_bedrock_model alone.

    An inference profile passes a request on to the model in another region: IAM asks for both the profile and that
    model, which is allowed in the allowed regions and through this profile only.
    """
    model, site = settings.agent.bedrock_model, settings.site
    bedrock = f"arn:{partition}:bedrock"
    prefix = geography(model)  # one whose regions are not all allowed is refused with the settings (contradictions.py)
    if not prefix:
        return _document(_invoke(f"{bedrock}:{site.region}::foundation-model/{model}"))
    profile = f"{bedrock}:{site.region}:{account}:inference-profile/{model}"
    plain = model.removeprefix(f"{prefix}.")
    behind = [f"{bedrock}:{region}::foundation-model/{plain}" for region in site.allowed_regions]
    only_through = {"Condition": {"StringEquals": {"bedrock:InferenceProfileArn": profile}}}
    return _document(_invoke(profile), {**_invoke(*behind), **only_through})


def _invoke(*resources: str) -> dict[str, Any]:
    actions = ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"]
    return {"Effect": "Allow", "Action": actions, "Resource": list(resources)}


def _document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}
