"""The volume that holds an EC2 host's weights, as DescribeInstances tells of it: no further permission is asked for.

voicestack.launch attaches it under one device name and tags the instance as its own. Both must be so here: a stranger's
volume under that name is not taken for ours.
"""

from __future__ import annotations

from typing import Any

PART = "voice-part"
"""The tag that says what a thing made by voicestack.launch is; HOST is the instance's."""

HOST = "host"

DEVICE = "/dev/sdm"
"""Of the names that EC2 recommends for volumes. A Nitro instance's kernel does not use it: it is a label in the API."""


def device_of(instance: dict[str, Any]) -> str:
    """The path on the host of the models volume of an instance as DescribeInstances describes it; empty without one."""
    if not is_ours(instance):
        return ""
    attached = mapped(instance).get(DEVICE)
    return path_of(attached["VolumeId"]) if attached else ""


def is_ours(instance: dict[str, Any]) -> bool:
    """Whether voicestack.launch looks after it."""
    return {"Key": PART, "Value": HOST} in instance.get("Tags", [])


def mapped(instance: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Device name -> volume of an instance as DescribeInstances describes it: VolumeId, DeleteOnTermination."""
    return {each["DeviceName"]: each["Ebs"] for each in instance.get("BlockDeviceMappings", []) if each.get("Ebs")}


def path_of(volume: str) -> str:
    """Where udev shows an EBS volume on Nitro: an NVMe disk whose serial number is the volume's id without its dash."""
    return f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{volume.replace('-', '')}"
