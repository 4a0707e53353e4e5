"""The environment as one typed, frozen value; every mistake in it is reported at once, by variable name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from .residency import refused_model, refused_region

DEFAULT_HEALTH_PORT = 8081

WHISPER_FILES = ("config.json", "model.bin", "tokenizer.json", "vocabulary.*")

# Variables that livekit-agents obeys on its own, behind our back: each would change where calls or words go.
FOREIGN = {
    "LIVEKIT_AGENT_NAME": "it silently ends automatic dispatch; use AGENT_NAME",
    "LIVEKIT_AGENT_NAME_OVERRIDE": "it silently ends automatic dispatch; use AGENT_NAME",
    "LIVEKIT_AGENT_DEPLOYMENT": "it is for LiveKit Cloud",
    "LIVEKIT_WORKER_TOKEN": "it is for LiveKit Cloud",
    "LIVEKIT_OBSERVABILITY_URL": "it would export what callers say",
    "LK_DUMP_TTS": "it would write speech to disk",
}

_JOINED_LINES = re.compile(r"^[A-Z][A-Z0-9_]{2,}=")


class SettingsError(Exception):
    """All mistakes of one environment."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Settings:
    """What the agent is told."""

    livekit_url: str
    livekit_api_key: str
    livekit_api_secret: str = field(repr=False)
    tts_url: str
    tts_voice: str
    guard_url: str
    whisper_model: Path
    language: str
    greeting: str = field(repr=False)
    agent_name: str
    max_sessions: int
    drain_seconds: int
    connect_retries: int
    health_port: int
    aws_region: str
    bedrock_model_id: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read and check everything, then either return it or raise one `SettingsError`."""
        read = _Reader(environment)
        settings = cls(
            livekit_url=read.url("LIVEKIT_URL", ("ws", "wss")),
            livekit_api_key=read.text("LIVEKIT_API_KEY"),
            livekit_api_secret=read.text("LIVEKIT_API_SECRET"),
            tts_url=read.url("TTS_URL", ("http", "https")),
            tts_voice=read.text("TTS_VOICE"),
            guard_url=read.url("GUARD_URL", ("http", "https")),
            whisper_model=read.whisper("FASTER_WHISPER_MODEL"),
            language=read.language("AGENT_LANGUAGE"),
            greeting=read.text("AGENT_GREETING"),
            agent_name=read.text("AGENT_NAME", default=""),
            max_sessions=read.number("AGENT_MAX_SESSIONS", 1, 1000),
            drain_seconds=read.number("AGENT_DRAIN_SECONDS", 1, 3600, default=60),
            connect_retries=read.number("AGENT_CONNECT_RETRIES", 0, 1000, default=16),
            health_port=read.number("AGENT_HEALTH_PORT", 1, 65535, default=DEFAULT_HEALTH_PORT),
            aws_region=read.text("AWS_REGION"),
            bedrock_model_id=read.text("BEDROCK_MODEL_ID"),
        )
        read.residency(settings.aws_region, settings.bedrock_model_id)
        read.foreign()
        if read.problems:
            raise SettingsError(read.problems)
        return settings


class _Reader:
    """Reads variables one by one and remembers what was wrong; a wrong one yields a harmless placeholder."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.problems: list[str] = []

    def _wrong(self, name: str, why: str) -> None:
        self.problems.append(f"{name}: {why}")

    def text(self, name: str, default: str | None = None) -> str:
        value = self._environment.get(name, "").strip()
        if _JOINED_LINES.match(value):
            # never print the value: the second half may be a secret
            self._wrong(name, "looks like a second NAME=value: two lines of the env file were joined")
            return ""
        if not value and default is None:
            self._wrong(name, "not set")
        return value or default or ""

    def url(self, name: str, schemes: tuple[str, ...]) -> str:
        value = self.text(name)
        try:
            parts = urlsplit(value)
            usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if value and not usable:
            self._wrong(name, f"not a URL that starts with {' or '.join(f'{s}://' for s in schemes)}")
        return value.rstrip("/")

    def number(self, name: str, low: int, high: int, default: int | None = None) -> int:
        value = self.text(name, default=None if default is None else str(default))
        if not value:
            return low
        if not (value.isascii() and value.isdigit() and low <= int(value) <= high):
            self._wrong(name, f"not a whole number from {low} to {high}")
            return low
        return int(value)

    def language(self, name: str) -> str:
        value = self.text(name)
        if value and not re.fullmatch(r"[a-z]{2}", value):
            self._wrong(name, "not a two-letter language code such as de")
        return value

    def whisper(self, name: str) -> Path:
        """Check the weights' directory; faster-whisper takes a missing one for something to download."""
        path = Path(self.text(name))
        if path == Path():
            return path
        if not path.is_dir():
            self._wrong(name, f"{path} is not a directory (weights are mounted, never downloaded)")
        elif missing := [file for file in WHISPER_FILES if not any(path.glob(file))]:
            self._wrong(name, f"{path} lacks {', '.join(missing)}")
        return path

    def residency(self, region: str, model_id: str) -> None:
        allowed = self.text("AGENT_ALLOWED_REGIONS", default="eu-*").replace(",", " ").split()
        if region and (why := refused_region(region, allowed)):
            self._wrong("AWS_REGION", why)
        default_region = self.text("AWS_DEFAULT_REGION", default="")
        if default_region and (why := refused_region(default_region, allowed)):
            self._wrong("AWS_DEFAULT_REGION", why)
        if model_id and (why := refused_model(model_id, allowed)):
            self._wrong("BEDROCK_MODEL_ID", why)

    def foreign(self) -> None:
        for name, why in FOREIGN.items():
            if self._environment.get(name):
                self._wrong(name, f"must not be set: {why}")
