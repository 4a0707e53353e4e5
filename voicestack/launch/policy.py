"""What the host's role may do: ask Bedrock for the configured model, and nothing else. Pure.

The stores of secrets (SSM, Secrets Manager) are read by the controller, not by the host.
"""

from __future__ import annotations

from typing import Any

from agent.voice_agent.residency import geography
from voicestack.settings.model import Settings

NAME = "bedrock"
VERSION = "2012-10-17"
INVOKE = ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"]


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
    return {"Effect": "Allow", "Action": INVOKE, "Resource": list(resources)}


def _document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": VERSION, "Statement": list(statements)}
