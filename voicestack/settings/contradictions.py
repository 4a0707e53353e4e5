"""What is wrong between settings that are each right by themselves. Pure; settings.py calls it."""

from __future__ import annotations

from agent.voice_agent.residency import is_public
from voicestack.gpu import advice
from voicestack.settings import omni, residency
from voicestack.settings.model import Settings


def contradictions(settings: Settings) -> list[str]:
    """One line for each contradiction: the setting, what is wrong, the fix."""
    return [
        *_residency(settings),
        *_ports(settings),
        *_models(settings),
        *_memory(settings),
        *_media(settings),
        *_release(settings),
        *_keys(settings),
    ]


def _residency(settings: Settings) -> list[str]:
    site, agent = settings.site, settings.agent
    problems = [
        *residency.region("site_region", site.region, site.allowed_regions),
        *residency.model(agent.bedrock_model, site.region, site.allowed_regions),
        *residency.endpoint(agent.bedrock_url, site.region),
    ]
    if settings.guard.placement.startswith("http:") and is_public(settings.guard.placement):
        problems.append(
            f"guard_placement: {settings.guard.placement} would carry what callers say over the public network in "
            "plain text; use https, or a private address"
        )
    return problems


def listening_ports(settings: Settings) -> dict[str, int]:
    """Setting -> port, for every single port the stack listens on."""
    guard = {"guard_port": settings.guard.port} if settings.guard.is_here else {}
    return {
        "livekit_port": settings.livekit.port,
        "livekit_tcp_port": settings.livekit.tcp_port,
        "livekit_turn_port": settings.livekit.turn_port,
        "caddy_health_port": settings.caddy.health_port,
        "voxtral_port": settings.voxtral.port,
        **guard,
        "agent_health_port": settings.agent.health_port,
    }


def _ports(settings: Settings) -> list[str]:
    problems, seen = [], {80: "Caddy's HTTP port", 443: "Caddy's HTTPS port"}
    for key, port in listening_ports(settings).items():
        if port in seen:
            problems.append(f"{key}: {port} is already {seen[port]}; choose another port")
        seen.setdefault(port, key)
    livekit = settings.livekit
    ranges = {"livekit_rtc_port": (livekit.rtc_port_start, livekit.rtc_port_end)}
    if livekit.turn_enabled:
        ranges["livekit_turn_relay_port"] = (livekit.turn_relay_port_start, livekit.turn_relay_port_end)
    for key, (start, end) in ranges.items():
        if start >= end:
            problems.append(f"{key}_end: {end} must be greater than {key}_start ({start})")
        problems += [
            f"{key}_start: the range {start}-{end} covers {port}, which is {owner}"
            for port, owner in seen.items()
            if start <= port <= end
        ]
    overlap = (
        livekit.rtc_port_start <= livekit.turn_relay_port_end and livekit.turn_relay_port_start <= livekit.rtc_port_end
    )
    if livekit.turn_enabled and overlap:
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


def _memory(settings: Settings) -> list[str]:
    return advice.problems(settings.plan)


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
    missing = {"ubuntu2204", "ubuntu2404", "debian12", "debian13"} - settings.nvidia.repository_keys.keys()
    if not missing:
        return []
    return [f"nvidia_repository_keys: no key for {', '.join(sorted(missing))}; name its file and fingerprint"]
