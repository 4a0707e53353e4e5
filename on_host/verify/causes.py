"""From what a probe saw to the leg that broke and the likely reason. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from on_host.language_model import WORDS
from on_host.paths import HOME, LIVEKIT_ENV
from on_host.verify.report import LEGS

SERVICES = {
    "caddy": "caddy",
    "livekit": "livekit",
    "worker": "voice-agent",
    "stt": "voice-agent",
    "llm": "voice-agent",
    "guard": "vllm-guard",
    "tts": "vllm-voxtral",
}
"""Leg -> the container that serves it; the model behind llm is Bedrock's, its client is the agent."""

PARTS = {"livekit": "worker", "whisper": "stt", "guard": "guard", "tts": "tts"}
"""A part of the agent's health -> the leg that breaks with it: its "livekit" is its registration."""

_CERTIFICATE = (
    (
        r"self.signed certificate|unable to get (local )?issuer|CERTIFICATE_VERIFY_FAILED.*issuer",
        "the certificate's authority is not one that callers' browsers know: what stands in front of LiveKit is not "
        "this stack's Caddy, or its authority was replaced; look at `docker logs voice-caddy-1`",
    ),
    (
        r"[Hh]ostname mismatch|doesn't match",
        "the certificate is for another name: does site_domain say what Caddy serves?",
    ),
    (
        r"has expired",
        "Caddy could not renew the certificate: does site_domain's DNS name this host, is port 80 open to the world?",
    ),
    (r"not yet valid", "the host's clock is behind"),
    (
        r"internal error|alert|UNRECOGNIZED_NAME|EOF occurred",
        "Caddy has no certificate for this name: not issued yet (DNS, port 80), or another site_domain was deployed",
    ),
    (
        r"refused|timed out|unreachable|No route",
        "nothing answers on port 443 of this address: is Caddy running, do the firewall and the security group let "
        "the host reach its own public address?",
    ),
)

_TURN = (
    *(("llm", rf": {kind}$", words) for kind, words in WORDS.items()),
    ("llm", r"empty", "Bedrock's answer held no words"),
    ("llm", r"", "Bedrock does not answer: is it reachable from the host?"),
    ("guard", r"deadline", "vllm-guard is slower than the agent's deadline for it"),
    ("guard", r"", "vllm-guard does not judge; the agent refuses everything then (it fails closed)"),
    ("tts", r"not audio", "vllm-voxtral answers with an error where the audio should be: read its log"),
    ("tts", r"", "vllm-voxtral does not speak: read its log"),
    ("stt", r"", "Whisper failed or is too slow: read the agent's log"),
)
"""Leg, a word of the agent's error (agent/voice_agent/metrics.py has them all), what to do."""


def certificate_cause(problem: str) -> str:
    """Why the TLS handshake with Caddy failed."""
    return next((cause for pattern, cause in _CERTIFICATE if re.search(pattern, problem)), "")


def turn_leg(error: str) -> str:
    """The leg that the agent's error word names: "llm: denied" -> llm; the worker's own if it names none."""
    leg = error.partition(":")[0].strip()
    return leg if leg in LEGS else "worker"


def turn_cause(error: str) -> str:
    """Why the agent's turn failed."""
    leg = turn_leg(error)
    return next((why for of, word, why in _TURN if of == leg and re.search(word, error)), "")


def http_cause(status: int) -> str:
    """Why Caddy or LiveKit answered a good token with this status."""
    if status in (502, 503, 504):
        return "Caddy is there, LiveKit behind it is not"
    if status == 401:
        return f"LiveKit runs with another key pair than {HOME}/{LIVEKIT_ENV} holds: run the deploy"
    return "something else than LiveKit answers behind Caddy"


def health_problems(parts: Mapping[str, str]) -> dict[str, str]:
    """Leg -> what the agent's health says is wrong with it."""
    return {PARTS.get(part, part): f"{part}: {state}" for part, state in parts.items() if state != "ok"}


def likely_cause(leg: str, guess: str, states: Mapping[str, str], elsewhere: Mapping[str, str]) -> str:
    """The leg's container if it does not run, else what the probe guesses, else the container's bad health.

    `elsewhere`: leg -> the address of what serves it on another host, which has no container here.
    """
    if leg in elsewhere:
        return f"{guess}; it runs at {elsewhere[leg]}: does it answer there?".removeprefix("; ")
    service = SERVICES.get(leg)
    if service is None:
        return guess
    state = states.get(service, "missing")
    told = "" if state == "running, healthy" else f"the container of {service} is {state}"
    return guess if guess and state.startswith("running") else told or guess
