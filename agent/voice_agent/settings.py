"""The environment as typed values; every mistake in it is reported at once, by variable name."""

from __future__ import annotations

from collections.abc import Mapping

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


class Settings:
    """What the agent is told; README.md says what each variable means."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        read = Reader(environment)
        self.livekit_url = read.url("LIVEKIT_URL", ("ws", "wss"))
        self.livekit_api_key = read.text("LIVEKIT_API_KEY")
        self.livekit_api_secret = read.text("LIVEKIT_API_SECRET")
        self.tts_url = read.url("TTS_URL", ("http", "https"))
        self.tts_voice = read.text("TTS_VOICE")
        self.tts_model = read.text("TTS_MODEL", default="")
        self.guard_url = read.url("GUARD_URL", ("http", "https"))
        self.guard_model = read.text("GUARD_MODEL", default="llama-guard-3-1b")
        self.guard_categories = read.categories("GUARD_CATEGORIES")
        self.guard_deadline_ms = read.number("GUARD_DEADLINE_MS", 50, round(patience.LEG * 1000), default=1500)
        self.guard_input = read.flag("GUARD_INPUT", default=True)
        self.guard_refusal = read.text("GUARD_REFUSAL")
        self.whisper_model = read.whisper("FASTER_WHISPER_MODEL")
        self.whisper_device = read.choice("WHISPER_DEVICE", ("cpu", "cuda"), "cpu")
        self.whisper_threads = read.number("WHISPER_THREADS", 1, 64, default=2)
        self.language = read.language("AGENT_LANGUAGE")
        self.greeting = read.text("AGENT_GREETING")
        self.instructions = read.text("AGENT_INSTRUCTIONS")
        self.apology = read.text("AGENT_APOLOGY", default=APOLOGIES.get(self.language))
        self.publish_transcripts = read.flag("AGENT_PUBLISH_TRANSCRIPTS", default=False)
        self.agent_name = read.text("AGENT_NAME", default="")
        self.max_sessions = read.number("AGENT_MAX_SESSIONS", 1, 1000)
        self.drain_seconds = read.number("AGENT_DRAIN_SECONDS", 1, 3600, default=60)
        self.silent_call_seconds = read.number("AGENT_SILENT_CALL_SECONDS", 1, 3600, default=300)
        self.connect_retries = read.number("AGENT_CONNECT_RETRIES", 0, 1000, default=16)
        self.health_port = read.number("AGENT_HEALTH_PORT", 1, 65535, default=DEFAULT_HEALTH_PORT)
        self.aws_region = read.text("AWS_REGION")
        self.bedrock_model_id = read.text("BEDROCK_MODEL_ID")
        self.bedrock_url = read.url("BEDROCK_URL", ("http", "https"), default="")
        self.bedrock_max_tokens = read.number("BEDROCK_MAX_TOKENS", 1, 8192, default=300)
        self.bedrock_temperature = read.share("BEDROCK_TEMPERATURE", default=0.3)
        _check_residency(read, self)
        read.refuse(FOREIGN)
        read.check()


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
