"""Where callers' health data may be: the agent's own rules, asked before anything on a host changes. Pure.

The agent asks them again when it starts (agent/voice_agent/residency.py); what it would refuse must not get so far.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.voice_agent.residency import refused_endpoint, refused_model, refused_region


def region(name: str, value: str, allowed: Sequence[str]) -> list[str]:
    """A line if this region is none of site_allowed_regions.

    Args:
        name: the setting or variable that names the region.
        value: the region.
        allowed: site_allowed_regions.
    """
    if refused_region(value, allowed) is None:
        return []
    return [f"{name}: {value} is outside site_allowed_regions ({', '.join(allowed)}); name a region inside"]


def model(model_id: str, here: str, allowed: Sequence[str]) -> list[str]:
    """A line if Bedrock may answer for this model, asked in the region `here`, from outside site_allowed_regions."""
    why = refused_model(model_id, allowed)
    if why is None:
        return []
    return [
        f"agent_bedrock_model: {model_id}: {why}; name a model of {here} itself, or have site_allowed_regions cover "
        "all of the profile's geography (eu-* for eu.), as AWS may answer from any region of it"
    ]


def endpoint(url: str, here: str) -> list[str]:
    """A line if this address is Amazon's in another region than `here`; "" is Amazon's own in `here`."""
    why = refused_endpoint(url, here)
    return [f"agent_bedrock_url: {url} is {why} (site_region); name an endpoint there"] if why else []
