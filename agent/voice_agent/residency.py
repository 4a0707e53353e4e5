"""Where the language model may run: regions and Bedrock ids against an allow-list. Pure.

Asked when the agent starts, and by the controller before a deploy changes anything (deploys/residency.py): it needs
the standard library alone.

The callers' words are health data and stay inside the allowed regions. A cross-region inference profile
carries its geography in front of the model id (`eu.mistral…`, `us.mistral…`, `global.…`), so the id is
judged as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

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
    if any(fnmatchcase(region, pattern) for pattern in allowed):
        return None
    return f"region {region!r} is outside the allowed {' '.join(allowed)}"


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
    # `eu.` routes to any region of that geography: the pattern must cover the whole of it, as `eu-*` does.
    if any(fnmatchcase(f"{label}-", pattern) for pattern in allowed):
        return None
    return f"inference profile prefix {label!r} is outside the allowed {' '.join(allowed)}"


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

    AWS's names, VPC endpoints included, carry their region as a label; one of another region is refused. Any
    other name is a private one that the operator vouches for.
    """
    labels = (urlsplit(url).hostname or "").removesuffix(".").split(".")
    if labels[-2:] not in (["amazonaws", "com"], ["api", "aws"]) or region in labels:
        return None
    return f"an AWS endpoint outside {region}"
