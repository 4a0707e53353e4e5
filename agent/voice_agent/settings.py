"""The environment as one typed, frozen value; every mistake in it is reported at once, by variable name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import patience
from .environment import Reader
from .residency import EU, refused_endpoint, refused_model, refused_region

DEFAULT_HEALTH_PORT = 8081

# Variables that livekit-agents or botocore obey on their own, behind our back: each would change where calls
# or words go.
FOREIGN = {
    "LIVEKIT_AGENT_NAME": "it silently ends automatic dispatch; use AGENT_NAME",
    "LIVEKIT_AGENT_NAME_OVERRIDE": "it silently ends automatic dispatch; use AGENT_NAME",
    "LIVEKIT_AGENT_DEPLOYMENT": "it is for LiveKit Cloud",
    "LIVEKIT_WORKER_TOKEN": "it is for LiveKit Cloud",
    "LIVEKIT_OBSERVABILITY_URL": "it would export what callers say",
    "LK_DUMP_TTS": "it would write speech to disk",
    "AWS_ENDPOINT_URL": "use BEDROCK_URL",
    "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "use BEDROCK_URL",
    "BEDROCK_INFERENCE_PROFILE_ARN": "use BEDROCK_MODEL_ID",
}

# What the caller hears when the language model or speech recognition fails; other languages need AGENT_APOLOGY.
APOLOGIES = {
    "de": "Entschuldigung, das hat gerade nicht geklappt. Bitte sagen Sie es noch einmal.",
    "en": "Sorry, that did not work just now. Please say it again.",
}


class SettingsError(Exception):
    """All mistakes of one environment."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Settings:
    """What the agent is told; README.md says what each variable means."""

    livekit_url: str
    livekit_api_key: str
    livekit_api_secret: str = field(repr=False)
    tts_url: str
    tts_voice: str
    tts_model: str
    guard_url: str
    guard_model: str
    guard_categories: frozenset[str]
    guard_deadline_ms: int
    guard_input: bool
    guard_refusal: str = field(repr=False)
    whisper_model: Path
    whisper_device: str
    whisper_threads: int
    language: str
    greeting: str = field(repr=False)
    instructions: str = field(repr=False)
    apology: str = field(repr=False)
    publish_transcripts: bool
    agent_name: str
    max_sessions: int
    drain_seconds: int
    silent_call_seconds: int
    connect_retries: int
    health_port: int
    aws_region: str
    bedrock_model_id: str
    bedrock_url: str
    bedrock_max_tokens: int
    bedrock_temperature: float

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read and check everything, then either return it or raise one `SettingsError`."""
        read = Reader(environment)
        language = read.language("AGENT_LANGUAGE")
        settings = cls(
            livekit_url=read.url("LIVEKIT_URL", ("ws", "wss")),
            livekit_api_key=read.text("LIVEKIT_API_KEY"),
            livekit_api_secret=read.text("LIVEKIT_API_SECRET"),
            tts_url=read.url("TTS_URL", ("http", "https")),
            tts_voice=read.text("TTS_VOICE"),
            tts_model=read.text("TTS_MODEL", default=""),
            guard_url=read.url("GUARD_URL", ("http", "https")),
            guard_model=read.text("GUARD_MODEL", default="llama-guard-3-1b"),
            guard_categories=read.categories("GUARD_CATEGORIES"),
            guard_deadline_ms=read.number("GUARD_DEADLINE_MS", 50, round(patience.LEG * 1000), default=1500),
            guard_input=read.flag("GUARD_INPUT", default=True),
            guard_refusal=read.text("GUARD_REFUSAL"),
            whisper_model=read.whisper("FASTER_WHISPER_MODEL"),
            whisper_device=read.choice("WHISPER_DEVICE", ("cpu", "cuda"), "cpu"),
            whisper_threads=read.number("WHISPER_THREADS", 1, 64, default=2),
            language=language,
            greeting=read.text("AGENT_GREETING"),
            instructions=read.text("AGENT_INSTRUCTIONS"),
            apology=read.text("AGENT_APOLOGY", default=APOLOGIES.get(language)),
            publish_transcripts=read.flag("AGENT_PUBLISH_TRANSCRIPTS", default=False),
            agent_name=read.text("AGENT_NAME", default=""),
            max_sessions=read.number("AGENT_MAX_SESSIONS", 1, 1000),
            drain_seconds=read.number("AGENT_DRAIN_SECONDS", 1, 3600, default=60),
            silent_call_seconds=read.number("AGENT_SILENT_CALL_SECONDS", 1, 3600, default=300),
            connect_retries=read.number("AGENT_CONNECT_RETRIES", 0, 1000, default=16),
            health_port=read.number("AGENT_HEALTH_PORT", 1, 65535, default=DEFAULT_HEALTH_PORT),
            aws_region=read.text("AWS_REGION"),
            bedrock_model_id=read.text("BEDROCK_MODEL_ID"),
            bedrock_url=read.url("BEDROCK_URL", ("http", "https"), default=""),
            bedrock_max_tokens=read.number("BEDROCK_MAX_TOKENS", 1, 8192, default=300),
            bedrock_temperature=read.share("BEDROCK_TEMPERATURE", default=0.3),
        )
        _check_residency(read, settings)
        read.refuse(FOREIGN)
        if read.problems:
            raise SettingsError(read.problems)
        return settings


def _check_residency(read: Reader, settings: Settings) -> None:
    """Every place the callers' words could go must be on the allow-list."""
    allowed = read.text("AGENT_ALLOWED_REGIONS", default=" ".join(EU)).replace(",", " ").split()
    for name, region in (
        ("AWS_REGION", settings.aws_region),
        ("AWS_DEFAULT_REGION", read.text("AWS_DEFAULT_REGION", default="")),
    ):
        if region and (why := refused_region(region, allowed)):
            read.wrong(name, why)
    if settings.bedrock_model_id and (why := refused_model(settings.bedrock_model_id, allowed)):
        read.wrong("BEDROCK_MODEL_ID", why)
    if settings.bedrock_url and (why := refused_endpoint(settings.bedrock_url, settings.aws_region)):
        read.wrong("BEDROCK_URL", why)
