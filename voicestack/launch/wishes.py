"""What is wanted, from the settings and the operator's environment. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from voicestack.connect.ec2 import InstancesError, tags_of
from voicestack.connect.environment import Environment
from voicestack.connect.models_volume import HOST, PART
from voicestack.gpu.cards import L4
from voicestack.host.disks import disk_needs, pinned_image_place
from voicestack.settings.contradictions import outside
from voicestack.settings.model import Settings

CARDS = {"g5": "A10G", "g6": "L4", "gr6": "L4", "g6e": "L40S", "p5": "H100"}
"""Family of instance types -> its card (aws.amazon.com/ec2/instance-types)."""


@dataclass(frozen=True)
class Wish:
    """The host that is wanted: its settings, and the operator's environment, which says where."""

    settings: Settings
    operator: Environment

    @property
    def tags(self) -> dict[str, str]:
        """What the inventory finds it by."""
        return dict(tags_of(f"tag:{self.operator.tags}"))

    @property
    def shown_tags(self) -> str:
        """The same as text."""
        return ";".join(f"{key}={value}" for key, value in self.tags.items())

    @property
    def name(self) -> str:
        """Its Name tag, unless the inventory's tags say another."""
        return self.tags.get("Name", self.settings.launch.name)

    @property
    def host_name(self) -> str:
        """Of its security group, role and instance profile."""
        return f"{self.settings.launch.name}-host"

    def tagged(self, part: str) -> list[dict[str, str]]:
        """What a new thing is tagged with."""
        name = self.name if part == HOST else f"{self.name}-{part}"
        return [{"Key": key, "Value": value} for key, value in {"Name": name, **self.tags, PART: part}.items()]

    def has_tags(self, described: dict[str, Any]) -> bool:
        """Whether a role or a group, as AWS describes it, carries the inventory's tags."""
        return self.tags.items() <= {each["Key"]: each["Value"] for each in described.get("Tags", [])}.items()

    def specification(self, resource: str, part: str) -> list[dict[str, object]]:
        """What a new thing is tagged with, as TagSpecifications of one resource."""
        return [{"ResourceType": resource, "Tags": self.tagged(part)}]

    def filters(self, part: str = "") -> list[dict[str, object]]:
        """How AWS finds what carries the tags; any part without one."""
        tags = {**self.tags, **({PART: part} if part else {})}
        return [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()]


def tag_mistakes(tags: str) -> list[str]:
    """One line for each reason why nothing can be made with these tags (VOICE_TAG), with the fix."""
    try:
        pairs = tags_of(f"tag:{tags}")
    except InstancesError:
        return [f"VOICE_TAG: {tags!r} must be KEY=VALUE, several with ';' between them, each key once"]
    problems = []
    if any(character in tags for character in "*?"):
        problems.append(f"VOICE_TAG: {tags!r} is a pattern; what is made needs one value, say Role=voice")
    if any(key == PART or key.startswith("aws:") for key, _ in pairs):
        problems.append(f"VOICE_TAG: {PART} and aws:... are not yours to set; take another key")
    return problems


def ssh_mistakes(environment: Environment) -> list[str]:
    """One line for each reason why nobody, or everybody, could reach a new host by ssh, with the fix."""
    if environment.connect == "ssh":
        return [
            "VOICE_CONNECT: a new host has no key pair of yours, so ssh alone cannot reach it; use instance-connect "
            "or tunnel"
        ]
    problems = []
    if environment.connect != "tunnel" and not environment.ssh_from:
        problems.append(
            "VOICE_SSH_FROM: not set, so nobody could connect; name the networks of all operators "
            "(203.0.113.7/32,...), or use VOICE_CONNECT=tunnel, which needs none"
        )
    for network in environment.ssh_from:
        try:
            wide = ip_network(network).prefixlen == 0
        except ValueError as error:
            problems.append(f"VOICE_SSH_FROM: {network!r} is no network: {error}")
            continue
        if wide:
            problems.append(f"VOICE_SSH_FROM: {network} is the whole internet; name your own networks")
    return problems


def mistakes(settings: Settings, environment: Environment) -> list[str]:
    """One line for each setting that cannot work for a host in this region: the key, what is wrong, the fix."""
    launch, site = settings.launch, settings.site
    problems = outside("VOICE_REGION", environment.region, site.allowed_regions)
    if launch.name.startswith("sg-"):
        problems.append(f"launch_name: {launch.name}: EC2 takes no security group whose name begins with sg-")
    if launch.zone and not launch.zone.startswith(environment.region):
        problems.append(f"launch_zone: {launch.zone} is not in {environment.region} (VOICE_REGION)")
    has = CARDS.get(launch.instance_type.partition(".")[0])
    if has and (has == L4.name) != (settings.gpu.card == L4.name):
        problems.append(f"launch_instance_type: {launch.instance_type} has an {has}; gpu_card is {settings.gpu.card}")
    # Volumes that preflight would refuse.
    paths = disk_needs(settings, pinned_image_place(settings))
    least = sum(paths.values()) - paths[settings.weights.directory]
    if launch.root_gib < least:
        problems.append(
            f"launch_root_gib: {launch.root_gib} is less than preflight_disk_root_gib and _docker ({least:g})"
        )
    models = settings.preflight.disk_models_gib
    if launch.models_gib < models:
        problems.append(f"launch_models_gib: {launch.models_gib} is less than preflight_disk_models_gib ({models:g})")
    return problems
