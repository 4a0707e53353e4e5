"""Who may reach which port of the host. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from typing import Any, NamedTuple

from voicestack.settings.model import Settings

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
    livekit = settings.livekit
    rules = {Rule("tcp", 443, 443, WORLD): "Caddy: the page and wss"}
    if settings.site.acme != "internal":
        rules[Rule("tcp", 80, 80, WORLD)] = "Caddy: ACME and the redirect to https"
    rules[Rule("tcp", livekit.tcp_port, livekit.tcp_port, WORLD)] = "LiveKit: media over TCP"
    rules[Rule("udp", livekit.rtc_port_start, livekit.rtc_port_end, WORLD)] = "LiveKit: media"
    if livekit.turn_enabled:
        rules[Rule("udp", livekit.turn_port, livekit.turn_port, WORLD)] = "LiveKit: TURN and STUN"
        relays = Rule("udp", livekit.turn_relay_port_start, livekit.turn_relay_port_end, WORLD)
        rules[relays] = "LiveKit: TURN relays"
    return rules


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
