"""The five services and the images they are made from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from agent.voice_agent.patience import LEG
from voicestack.images import buildable
from voicestack.settings.catalog import Sha256
from voicestack.settings.types import ImageReference, Port, Positive, Section, Sentence, SingleLine, Url

_KINDS = ("casual", "cheerful", "neutral", "ar", "de", "es", "fr", "hi", "it", "nl", "pt")
VOICES = frozenset(f"{kind}_{sex}" for kind in _KINDS for sex in ("female", "male")) - {"cheerful_male", "ar_female"}
"""The twenty voices of Voxtral-4B-TTS-2603 (`voice` in its params.json)."""


class Image(Section):
    """Container images by tag or digest."""

    livekit: ImageReference
    caddy: ImageReference
    vllm_voxtral: ImageReference
    vllm_guard: ImageReference
    agent_base: ImageReference


class Livekit(Section):
    """The SFU."""

    port: Port
    tcp_port: Port
    rtc_port_start: Port
    rtc_port_end: Port
    turn_enabled: bool
    turn_port: Port
    turn_relay_port_start: Port
    turn_relay_port_end: Port
    stun_servers: list[Annotated[str, Field(pattern=r"^[^\s:]+:[0-9]+$")]]
    log_level: Literal["debug", "info", "warn", "error"]


class Caddy(Section):
    """The TLS proxy."""

    health_port: Port
    log_level: Literal["DEBUG", "INFO", "WARN", "ERROR"]


class Talk(Section):
    """The page to talk from; `token_minutes` is how long a link can be used to join."""

    enabled: bool
    token_minutes: Annotated[int, Field(ge=1, le=60)]
    client_url: Url
    client_sha256: Sha256


class Voxtral(Section):
    """The speech engine; contexts in tokens."""

    model: str
    port: Port
    voice: str
    stage0_sequences: Positive
    stage0_context: Positive
    stage0_eager: bool
    start_timeout_s: Positive

    @field_validator("voice")
    @classmethod
    def _known_voice(cls, value: str) -> str:
        if value not in VOICES:
            raise ValueError(f"not one of Voxtral's voices; choose from: {', '.join(sorted(VOICES))}")
        return value


class Guard(Section):
    """Llama Guard; context in tokens, the deadline of one verdict in milliseconds, within the agent's patience."""

    model: str
    port: Port
    placement: Annotated[str, Field(pattern=r"^(gpu0|gpu1|https?://[^\s/@]+)$")]
    sequences: Positive
    context: Positive
    eager: bool
    judges_callers: bool
    categories: list[Annotated[str, Field(pattern=r"^S([1-9]|1[0-3])$")]]
    deadline_ms: Annotated[int, Field(ge=50, le=round(LEG * 1000))]
    refusal: Sentence
    start_timeout_s: Positive

    @property
    def is_here(self) -> bool:
        """Whether this host runs it, on one of its cards."""
        return self.placement.startswith("gpu")

    @property
    def url(self) -> str:
        """Where the agent asks it."""
        return f"http://127.0.0.1:{self.port}" if self.is_here else self.placement


class Agent(Section):
    """The voice agent."""

    source: Annotated[str, AfterValidator(buildable)]
    health_port: Port
    name: SingleLine
    greeting: Sentence
    instructions: Sentence
    apology: Sentence
    publish_transcripts: bool
    whisper_model: str
    whisper_device: Literal["auto", "cpu", "cuda"]
    whisper_threads: Annotated[int, Field(ge=1, le=64)]
    bedrock_model: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.:-]*$")]
    bedrock_url: Annotated[str, Field(pattern=r"^(https?://[^\s/@]+(/[^\s]*)?)?$")]
    bedrock_max_tokens: Annotated[int, Field(ge=1, le=8192)]
    bedrock_temperature: Annotated[float, Field(ge=0, le=1)]
    max_sessions: Positive | Literal["auto"]
    drain_s: Positive
    silent_call_s: Annotated[int, Field(ge=1, le=3600)]
    aws_keys: Literal["keep", "none"]
    start_timeout_s: Positive
