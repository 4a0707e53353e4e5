"""EC2 instances as moto makes them."""

from __future__ import annotations

from typing import Any


def launch(client: Any, name: str, **more: str) -> str:
    """A running instance with a Name and Role=voice; its id."""
    tags = [{"Key": key, "Value": value} for key, value in {"Name": name, "Role": "voice", **more}.items()]
    made = client.run_instances(
        ImageId="ami-12345678",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    return str(made["Instances"][0]["InstanceId"])
