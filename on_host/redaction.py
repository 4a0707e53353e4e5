"""What must not be in a public file or log: instance ids, addresses, security groups, accounts, key files, tokens.

start.py redacts the log lines that it prints with it, and tests/redaction_check.py looks for it in the repository.
What names nobody is no finding: loopback, link-local, documentation and benchmark addresses (RFC 5737, 3849, 9637,
2544), AWS's documentation accounts and keys. Pure; standard library only.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

ADDRESS = "IP address"
PATTERNS = {
    "instance id": r"(?<![\w-])i-(?:[0-9a-f]{17}|[0-9a-f]{8})(?![\w-])",
    "security group id": r"(?<![\w-])sg-(?:[0-9a-f]{17}|[0-9a-f]{8})(?![\w-])",
    # Twelve digits are an account number only where something says so: a digest, a size or a date is not one.
    "account number": r"(?:arn:aws[a-z-]*:[\w-]*:[\w-]*:|(?i:account)[^0-9\n]{0,20})(\d{12})(?!\w)"
    r"|(?<!\w)(\d{12})(?=\.dkr\.ecr\.)",
    "key file name": r"(?<![\w.-])[\w.-]*\w\.(?:pem|ppk|p12|pfx)(?!\w)|(?<!\w)id_(?:rsa|dsa|ecdsa|ed25519)(?!\w)",
    "Hugging Face token": r"(?<!\w)hf_[A-Za-z0-9]{16,}(?!\w)",
    "AWS access key": r"(?<!\w)(?:AKIA|ASIA)[A-Z0-9]{16}(?!\w)",
    "secret key": r"(?:LIVEKIT_API_SECRET|(?i:aws_secret_access_key|SecretAccessKey))['\"\])]*\s*[=:]\s*['\"]?"
    r"([A-Za-z0-9+/_-]{32,}={0,2})|(?<!\w)API\w{6,}:[ ]+([A-Za-z0-9+/_-]{32,}={0,2})",
    "signed token": r"(?<!\w)eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}",
    "GitHub token": r"(?<!\w)(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22,})(?!\w)",
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "age identity": r"(?<!\w)AGE-SECRET-KEY-(?:PQ-)?1[A-Z0-9]{16,}(?!\w)",
    # Four numbers behind == or a letter are a version; more than four are no address either.
    ADDRESS: r"(?<![\w.])(?<![=~<>!]=)(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)"
    r"|(?<![\w-])(?:ec2|ip)((?:-\d{1,3}){4})(?!\w)"
    r"|(?<![\w:.])(?:[0-9a-fA-F]{1,4}:){1,7}(?::|[0-9a-fA-F:]*[0-9a-fA-F])(?![\w:])",
}

HARMLESS_NETWORKS = tuple(
    ip_network(network)
    for network in (
        *("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),  # documentation
        *("198.18.0.0/15", "0.0.0.0/32", "127.0.0.0/8", "255.255.255.255/32", "224.0.0.0/4"),
        *("169.254.0.0/16", "fd00:ec2::/32"),  # every machine's link, and EC2's metadata service on it
    )
)
REAL_V6 = tuple(ip_network(network) for network in ("2000::/3", "fc00::/7", "fe80::/10"))
"""What else reads as an IPv6 address is a slice (`[::2]`) or nobody's."""

HARMLESS = frozenset(["i-1234567890abcdef0", "123456789012", "111122223333", "444455556666", "000000000000"])
"""AWS's documentation uses these."""


class Finding(NamedTuple):
    """Something that must not be there, without its text; line and column from 1."""

    kind: str
    line: int
    column: int


class Allowed(NamedTuple):
    """What may be there all the same: exact values, and networks."""

    values: frozenset[str] = frozenset()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()


NOTHING = Allowed()


def find(text: str, allowed: Allowed = NOTHING) -> list[Finding]:
    """Where `text` has something that must not be there, in its order."""
    return [
        Finding(kind, text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start))
        for start, _, kind in spans(text, allowed)
    ]


def redact(text: str, allowed: Allowed = NOTHING) -> str:
    """`text` with the kind of each finding in its place, in brackets."""
    parts, last = [], 0
    for start, end, kind in spans(text, allowed):
        if start >= last:
            parts += [text[last:start], f"[{kind}]"]
            last = end
    return "".join([*parts, text[last:]])


def spans(text: str, allowed: Allowed = NOTHING) -> list[tuple[int, int, str]]:
    """Start, end and kind of each finding, in the text's order."""
    return sorted(
        (*_place(match), kind)
        for kind, pattern in PATTERNS.items()
        for match in re.finditer(pattern, text)
        if not _harmless(kind, text[slice(*_place(match))], allowed)
    )


def _place(match: re.Match[str]) -> tuple[int, int]:
    """The group that took part, or the whole match."""
    return match.span(match.lastindex or 0)


def _harmless(kind: str, value: str, allowed: Allowed) -> bool:
    if value in HARMLESS or value in allowed.values:
        return True
    if kind in ("AWS access key", "secret key"):
        return "EXAMPLE" in value
    return kind == ADDRESS and _harmless_address(value.lstrip("-").replace("-", "."), allowed)


def _harmless_address(value: str, allowed: Allowed) -> bool:
    """True also for what only looks like an address."""
    try:
        address: IPv4Address | IPv6Address = ip_address(value)
    except ValueError:
        return True
    if address.version == 6 and not any(address in network for network in REAL_V6):
        return True
    return any(address in network for network in (*HARMLESS_NETWORKS, *allowed.networks))
