"""The ports that the stack listens on: every other list of them is made from this one. Pure."""

from __future__ import annotations

from typing import NamedTuple

from voicestack.settings.model import Settings

HTTP = 80
"""Let's Encrypt asks there, and whoever forgets the s."""


class Listener(NamedTuple):
    """A port, or a range of them from `first` to `last`; `is_public`: callers reach it, else this host alone.

    `name` is the setting that chooses it, without _start and _end for a range.
    """

    name: str
    service: str
    what: str
    protocol: str
    first: int
    last: int
    is_public: bool = True

    @property
    def is_range(self) -> bool:
        """Whether settings name a first and a last port."""
        return self.name in ("livekit_rtc_port", "livekit_turn_relay_port")

    @property
    def numbers(self) -> str:
        """For people: "443", "50000-50199"."""
        return f"{self.first}-{self.last}" if self.is_range else str(self.first)


def listeners(settings: Settings) -> tuple[Listener, ...]:
    """All of them, the public ones first."""
    livekit = settings.livekit

    def media(name: str, what: str, first: int, last: int) -> Listener:
        return Listener(name, "livekit", what, "udp", first, last)

    def open_to_all(name: str, service: str, what: str, port: int) -> Listener:
        return Listener(name, service, what, "tcp", port, port)

    def local(name: str, service: str, what: str, port: int) -> Listener:
        return Listener(name, service, what, "tcp", port, port, is_public=False)

    turn, relays = livekit.turn_port, (livekit.turn_relay_port_start, livekit.turn_relay_port_end)
    return (
        open_to_all("Caddy's HTTP port", "caddy", "leads to 443", HTTP),
        open_to_all("Caddy's HTTPS port", "caddy", "signalling (wss)", 443),
        open_to_all("livekit_tcp_port", "livekit", "media over TCP", livekit.tcp_port),
        *([media("livekit_turn_port", "TURN, STUN", turn, turn)] if livekit.turn_enabled else []),
        media("livekit_rtc_port", "media", livekit.rtc_port_start, livekit.rtc_port_end),
        *([media("livekit_turn_relay_port", "media that TURN relays", *relays)] if livekit.turn_enabled else []),
        local("livekit_port", "livekit", "signalling, API", livekit.port),
        local("caddy_health_port", "caddy", "health", settings.caddy.health_port),
        local("voxtral_port", "vllm-voxtral", "HTTP", settings.voxtral.port),
        *([local("guard_port", "vllm-guard", "HTTP", settings.guard.port)] if settings.guard.is_here else []),
        local("agent_health_port", "voice-agent", "health, metrics", settings.agent.health_port),
    )
