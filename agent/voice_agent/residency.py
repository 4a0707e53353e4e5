"""Where the language model may run: regions and Bedrock ids against an allow-list. Pure.

Asked when the agent starts, and by the controller before a deploy changes anything (the settings): it needs
the standard library alone.

The callers' words are health data and stay inside the allowed regions. A cross-region inference profile
carries its geography in front of the model id (`eu.mistral…`, `us.mistral…`, `global.…`), so the id is
judged as well.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

EU = ("eu-central-1", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-3")
# AWS calls these Europe, and `eu-*` would let them in.
OUTSIDE_EU = {"eu-west-2": "London", "eu-central-2": "Zurich"}
# Geography in front of an inference profile's id -> the regions that it may route to, as read on 2026-11-28
# (docs/decisions/bedrock.md: in which sources). Preflight asks AWS for a profile's own. One not here is refused.
GEOGRAPHIES = {"eu": EU}

_AWS = re.compile(r"(.+\.)?(amazonaws\.(com|com\.cn|eu)|api\.aws|api\.amazonwebservices\.(com\.cn|eu))")

# A first label that names a vendor means "this region's own endpoint"; any other is read as a geography, so
# an unknown one is refused rather than trusted.
VENDORS = frozenset(
    {
        "ai21", "amazon", "anthropic", "cohere", "deepseek", "google", "meta", "minimax", "mistral",
        "moonshot", "nvidia", "openai", "qwen", "stability", "writer",
    }
)  # fmt: skip


def refused_region(region: str, allowed: Sequence[str]) -> str | None:
    """Say why `region` may not be used, or None."""
    if region in allowed:
        return None
    return f"region {region!r} is outside the allowed {' '.join(allowed)}{abroad(region)}"


def abroad(region: str) -> str:
    """Where a region is that is called Europe and is not in the EU, to end a sentence with; "" for others."""
    return f": {OUTSIDE_EU[region]} is not in the EU" if region in OUTSIDE_EU else ""


def geography(model_id: str) -> str:
    """The geography in front of an inference profile's id; "" for a model of the asked region itself."""
    label = model_id.split(".", 1)[0]
    return "" if label in VENDORS else label


def refused_model(model_id: str, allowed: Sequence[str]) -> str | None:
    """Say why a Bedrock model id, inference profile id or ARN may leave the allowed regions, or None."""
    if model_id.startswith("arn:"):
        return _refused_arn(model_id, allowed)
    label = geography(model_id)
    if not label:
        return None
    if label not in GEOGRAPHIES:
        return f"inference profile prefix {label!r} leads to regions that are not known here (known: eu.)"
    beyond = [region for region in GEOGRAPHIES[label] if region not in allowed]
    return f"inference profile prefix {label!r} routes to {', '.join(beyond)} too" if beyond else None


def _refused_arn(arn: str, allowed: Sequence[str]) -> str | None:
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[2] != "bedrock" or "/" not in parts[5]:
        return "not the ARN of a Bedrock model or inference profile"
    kind, name = parts[5].split("/", 1)
    refused = refused_region(parts[3], allowed)
    # an application inference profile has an opaque name: only its region can be judged here
    return refused or (None if kind == "application-inference-profile" else refused_model(name, allowed))


def refused_endpoint(url: str, region: str) -> str | None:
    """Say why `url` may not stand in for Bedrock's own endpoint of `region`, or None.

    AWS's names, VPC endpoints included, have their region in one place; any other name, and a private address, is the
    operator's word.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return "no URL"
    if is_public(url):
        return "a public address, which says nothing of its region"
    if not is_aws(url):
        return None
    host = (parts.hostname or "").removesuffix(".")
    if parts.scheme != "https":
        return "plain http to AWS"
    ours = rf"(vpce-[a-z0-9-]+\.)?bedrock-runtime(-fips)?\.{re.escape(region)}\.((vpce\.)?amazonaws\.com|api\.aws)"
    return None if re.fullmatch(ours, host) else f"an AWS endpoint outside {region}"


def is_aws(url: str) -> bool:
    """Whether it names a host of AWS's."""
    return _AWS.fullmatch((urlsplit(url).hostname or "").removesuffix(".")) is not None


def is_public(url: str) -> bool:
    """Whether its host is a public IP address, be it written as one number (134744072 is 8.8.8.8); a name is none."""
    try:
        host = (urlsplit(url).hostname or "").removesuffix(".")
        return ip_address(host if ":" in host else socket.inet_aton(host)).is_global
    except (OSError, ValueError):
        return False
