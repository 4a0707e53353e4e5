"""What is wrong between settings that are each right by themselves. Pure.

Where callers' health data may be is asked by the agent's own rules: what it would refuse must not get as far as a host.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.voice_agent.residency import abroad, is_public, refused_endpoint, refused_model, refused_region
from voicestack.gpu import advice
from voicestack.settings import omni
from voicestack.settings.host import SUPPORTED
from voicestack.settings.model import Settings
from voicestack.settings.ports import listeners


def contradictions(settings: Settings) -> list[str]:
    """One line for each contradiction: the setting, what is wrong, the fix."""
    return [
        *_residency(settings),
        *_ports(settings),
        *_models(settings),
        *advice.problems(settings.plan),
        *_media(settings),
        *_release(settings),
        *_keys(settings),
    ]


def outside(name: str, region: str, allowed: Sequence[str]) -> list[str]:
    """A line if the region that this setting or variable names is none of site_allowed_regions."""
    if refused_region(region, allowed) is None:
        return []
    where = f"is outside site_allowed_regions ({', '.join(allowed)}){abroad(region)}"
    return [f"{name}: {region} {where}; name a region inside"]


def _residency(settings: Settings) -> list[str]:
    site, agent = settings.site, settings.agent
    problems = outside("site_region", site.region, site.allowed_regions)
    if why := refused_model(agent.bedrock_model, site.allowed_regions):
        problems.append(
            f"agent_bedrock_model: {agent.bedrock_model}: {why}; name a model of {site.region} itself, or have "
            "site_allowed_regions name all regions that the profile routes to"
        )
    if why := refused_endpoint(agent.bedrock_url, site.region):
        problems.append(
            f"agent_bedrock_url: {agent.bedrock_url} is {why}; name an endpoint in {site.region} (site_region), by "
            "https if it is AWS's"
        )
    if settings.guard.placement.startswith("http:") and is_public(settings.guard.placement):
        problems.append(
            f"guard_placement: {settings.guard.placement} would carry what callers say over the public network in "
            "plain text; use https, or a private address"
        )
    return problems


def _ports(settings: Settings) -> list[str]:
    found = listeners(settings)
    ranges = [each for each in found if each.is_range]
    problems, seen = [], dict[int, str]()
    for each in (each for each in found if each not in ranges):
        if each.first in seen:
            problems.append(f"{each.name}: {each.first} is already {seen[each.first]}; choose another port")
        seen.setdefault(each.first, each.name)
    for each in ranges:
        if each.first >= each.last:
            problems.append(f"{each.name}_end: {each.last} must be greater than {each.name}_start ({each.first})")
        problems += [
            f"{each.name}_start: the range {each.first}-{each.last} covers {port}, which is {owner}"
            for port, owner in seen.items()
            if each.first <= port <= each.last
        ]
    if len(ranges) > 1 and ranges[0].first <= ranges[1].last and ranges[1].first <= ranges[0].last:
        problems.append("livekit_turn_relay_port_start: the relay range overlaps the RTC range")
    return problems


def _models(settings: Settings) -> list[str]:
    wanted = {
        "voxtral_model": (settings.voxtral.model, "voxtral_tts"),
        "guard_model": (settings.guard.model, "llama_guard_3"),
        "agent_whisper_model": (settings.agent.whisper_model, "whisper_ct2"),
    }
    if not settings.guard.is_here:
        del wanted["guard_model"]
    problems = []
    for key, (name, architecture) in wanted.items():
        model = settings.weights.catalog.get(name)
        if model is None:
            known = ", ".join(sorted(settings.weights.catalog))
            problems.append(f"{key}: {name!r} is not in weights_catalog (it has: {known})")
        elif model.architecture != architecture:
            problems.append(f"{key}: {name!r} has the architecture {model.architecture}, {architecture} is needed")
    return problems


def _media(settings: Settings) -> list[str]:
    if settings.livekit.turn_enabled or settings.livekit.stun_servers:
        return []
    return [
        "livekit_turn_enabled: with TURN off and livekit_stun_servers empty, LiveKit sends callers to Google's "
        "and Twilio's STUN servers, outside the allowed regions; enable TURN or name STUN servers of your own"
    ]


def _release(settings: Settings) -> list[str]:
    problems = []
    voxtral, guard = settings.image.vllm_voxtral, settings.image.vllm_guard
    if reason := omni.refusal(voxtral):
        problems.append(f"image_vllm_voxtral: {reason}")
    # The guard runs without --omni, as plain vLLM: any release will do, but not a tag that moves.
    if "vllm-omni:" in guard and omni.release_number(guard) is None:
        problems.append(f"image_vllm_guard: {guard} names no release; use a tag like v0.18.0")
    return problems


def _keys(settings: Settings) -> list[str]:
    every = {f"{name}{release.replace('.', '')}" for name, releases in SUPPORTED.items() for release in releases}
    missing = every - settings.nvidia.repository_keys.keys()
    if not missing:
        return []
    return [f"nvidia_repository_keys: no key for {', '.join(sorted(missing))}; name its file and fingerprint"]
