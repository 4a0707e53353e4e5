"""Settings to what a verification asks for. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from on_host.verify.request import Request
from voicestack.settings.model import Settings


def request(settings: Settings, agent: Mapping[str, str]) -> Request:
    """From the settings and the agent's environment as the stack renders it: one truth about what the agent does."""
    gate = settings.gate
    return Request(
        domain=settings.site.domain,
        own_authority=settings.site.acme == "internal",
        livekit_url=f"http://127.0.0.1:{settings.livekit.port}",
        health_url=f"http://127.0.0.1:{agent['AGENT_HEALTH_PORT']}/",
        agent_name=agent["AGENT_NAME"],
        tts={"url": agent["TTS_URL"], "voice": agent["TTS_VOICE"], "model": agent["TTS_MODEL"]},
        whisper=agent["FASTER_WHISPER_MODEL"],
        language=agent["AGENT_LANGUAGE"],
        transcripts=agent["AGENT_PUBLISH_TRANSCRIPTS"] == "true",
        refusal=agent["GUARD_REFUSAL"],
        question=gate.question,
        unsafe_question=gate.unsafe_question,
        patience_s=gate.patience_s,
        least_overlap=gate.least_overlap,
        keep_recordings=bool(gate.recordings),
        rotation=gate.rotation,
        elsewhere={} if settings.guard.is_here else {"guard": settings.guard.url},
    )
