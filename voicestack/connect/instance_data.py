"""What the connector @eic must know of a host, as pyinfra's flat data; none of it is secret."""

from __future__ import annotations

from typing import Any

from pyinfra.connectors.base import DataMeta
from pyinfra.connectors.ssh import ConnectorData, connector_data_meta

from voicestack.connect.ec2 import Instance, common_data, public_address
from voicestack.connect.environment import Environment


class InstanceData(ConnectorData):
    """Beside ssh's own data, of which ssh_user and ssh_port count."""

    eic_instance: str
    eic_zone: str
    eic_region: str
    eic_role_arn: str
    eic_address: str
    eic_tunnel: bool
    eic_endpoint: str
    eic_subnet: str
    eic_vpc: str
    eic_known_hosts: str


META: dict[str, DataMeta] = {
    **connector_data_meta,
    "eic_instance": DataMeta("Instance id"),
    "eic_zone": DataMeta("Its availability zone"),
    "eic_region": DataMeta("Its region"),
    "eic_role_arn": DataMeta("Role to assume, or empty"),
    "eic_address": DataMeta("Where its sshd is reached: a public name, or the private address in a tunnel"),
    "eic_tunnel": DataMeta("Whether to go through an EC2 Instance Connect Endpoint"),
    "eic_endpoint": DataMeta("The endpoint's id; empty: the one in the instance's subnet or VPC"),
    "eic_subnet": DataMeta("The instance's subnet"),
    "eic_vpc": DataMeta("Its VPC"),
    "eic_known_hosts": DataMeta("File of verified host keys by instance id"),
}


def of_instance(found: Instance, wanted: Environment) -> dict[str, Any]:
    """The data of one instance.

    Raises:
        InstancesError: it has no public address and no tunnel is wanted.
    """
    through = wanted.connect == "tunnel"
    return {
        **common_data(wanted, found),
        "eic_instance": found.id,
        "eic_zone": found.zone,
        "eic_role_arn": wanted.role_arn,
        "eic_address": found.private if through else public_address(found),
        "eic_tunnel": through,
        "eic_endpoint": wanted.endpoint,
        "eic_subnet": found.subnet,
        "eic_vpc": found.vpc,
        "eic_known_hosts": str(wanted.known_hosts),
    }
