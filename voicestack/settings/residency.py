"""Where callers' health data may be: the agent's own rules, asked before anything on a host changes. Pure.

The agent asks them again when it starts (agent/voice_agent/residency.py); what it would refuse must not get so far.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.voice_agent.residency import abroad, refused_endpoint, refused_model, refused_region


def region(name: str, value: str, allowed: Sequence[str]) -> list[str]:
    """A line if this region is none of site_allowed_regions.

    Args:
        name: the setting or variable that names the region.
        value: the region.
        allowed: site_allowed_regions.
    """
    if refused_region(value, allowed) is None:
        return []
    outside = f"is outside site_allowed_regions ({', '.join(allowed)}){abroad(value)}"
    return [f"{name}: {value} {outside}; name a region inside"]


def model(model_id: str, here: str, allowed: Sequence[str]) -> list[str]:
    """A line if Bedrock may answer for this model, asked in the region `here`, from outside site_allowed_regions."""
    why = refused_model(model_id, allowed)
    if why is None:
        return []
    return [
        f"agent_bedrock_model: {model_id}: {why}; name a model of {here} itself, or have site_allowed_regions name all "
        "regions that the profile routes to"
    ]


def endpoint(url: str, here: str) -> list[str]:
    """A line if this address is not known to lead to Bedrock in `here` (site_region); "" is Amazon's own there."""
    why = refused_endpoint(url, here)
    if why is None:
        return []
    return [f"agent_bedrock_url: {url} is {why}; name an endpoint in {here} (site_region), by https if it is AWS's"]
