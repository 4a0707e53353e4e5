"""Who may reach which port of the host. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from typing import Any, NamedTuple

from voicestack.settings.model import Settings
from voicestack.settings.ports import HTTP, listeners

WORLD = "0.0.0.0/0"


class Rule(NamedTuple):
    """What a security group lets in: a protocol, the first and last port, and a network or another group's id."""

    protocol: str
    first: int
    last: int
    source: str

    def __str__(self) -> str:
        what = "everything" if self.protocol == "-1" else f"{self.protocol} {self.first}-{self.last}"
        return f"{what.replace(f'{self.first}-{self.first}', str(self.first))} from {self.source}"


def public(settings: Settings) -> dict[Rule, str]:
    """Rule -> why, for the ports of the stack that callers reach; the rest of its ports is on loopback."""
    return {
        Rule(each.protocol, each.first, each.last, WORLD): f"{each.service}: {each.what}"
        for each in listeners(settings)
        if each.is_public and not (each.first == HTTP and settings.site.acme == "internal")
    }


def ssh(networks: Sequence[str], groups: Sequence[str]) -> dict[Rule, str]:
    """Rule -> why, for ssh from these networks and from an Instance Connect Endpoint with these security groups."""
    return {
        **{Rule("tcp", 22, 22, str(ip_network(network))): "ssh: an operator" for network in networks},
        **{Rule("tcp", 22, 22, group): "ssh: the Instance Connect Endpoint" for group in groups},
    }


def of_described(rule: Mapping[str, Any]) -> Rule:
    """One of DescribeSecurityGroupRules' answers."""
    group = rule.get("ReferencedGroupInfo", {}).get("GroupId")
    source = rule.get("CidrIpv4") or rule.get("CidrIpv6") or rule.get("PrefixListId") or group or "?"
    return Rule(str(rule["IpProtocol"]), int(rule["FromPort"]), int(rule["ToPort"]), source)


def permission(rule: Rule, why: str) -> dict[str, Any]:
    """The rule as AuthorizeSecurityGroupIngress takes it."""
    ports = {"IpProtocol": rule.protocol, "FromPort": rule.first, "ToPort": rule.last}
    if rule.source.startswith("sg-"):
        return {**ports, "UserIdGroupPairs": [{"GroupId": rule.source, "Description": why}]}
    if ":" in rule.source:
        return {**ports, "Ipv6Ranges": [{"CidrIpv6": rule.source, "Description": why}]}
    return {**ports, "IpRanges": [{"CidrIp": rule.source, "Description": why}]}
