"""The policy in docs/decisions/launch.md is what the command needs, no more and no less."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.programs.launching.cloud import Cloud
from tests.programs.launching.test_drift import OPEN_TO_ALL, STRANGER, policy

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "decisions" / "launch.md"

BESIDES = {"ec2:CreateTags", "iam:TagRole", "iam:TagInstanceProfile", "iam:PassRole"}
"""What other calls need beside the permission of their own name; moto cannot tell."""

FREE = {"sts:GetCallerIdentity"}


def called(cloud: Cloud, *words: str) -> set[str]:
    """The permissions that a run's calls have the names of."""
    assert cloud.launch("--yes", *words) == 0
    return {f"{service}:{operation}" for service, operation, _ in cloud.calls}


def documented() -> set[str]:
    policy = json.loads(DOCUMENT.read_text().partition("```json\n")[2].partition("```")[0])
    return {action for statement in policy["Statement"] for action in statement["Action"]}


def test_the_documented_policy_is_what_is_called(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICE_CONNECT", "tunnel")
    ready = {"State": "create-complete", "SecurityGroupIds": []}
    cloud.answers["DescribeInstanceConnectEndpoints"] = {"InstanceConnectEndpoints": [ready]}
    used = called(cloud)
    group = cloud.instance()["SecurityGroups"][0]["GroupId"]
    cloud.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[OPEN_TO_ALL])
    cloud.iam.update_assume_role_policy(RoleName="voice-host", PolicyDocument=policy(STRANGER))
    used |= called(cloud) | called(cloud, "--terminate", "voice")
    cloud.free_address()
    cloud.make_host()
    used |= called(cloud)
    assert used - FREE | BESIDES == documented()
