"""`host.data` as one typed, frozen `Settings`; every mistake in it reported at once, by key.

Keys are flat (`voxtral_port`) because pyinfra overrides data key by key; here they become sections
(`settings.voxtral.port`). This module holds no values: they stand in group_data.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pyinfra.api.exceptions import PyinfraError

from deploys.contradictions import contradictions
from deploys.gpu.cards import card
from deploys.models.catalog import KeepDays, Model, Sha256

Port = Annotated[int, Field(ge=1, le=65535)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[int, Field(ge=1)]
Url = Annotated[str, Field(pattern=r"^https?://[^\s/@]+(/[^\s]*)?$")]
"""Without a user and password: an address ends in arguments and logs."""

Fingerprint = Annotated[str, Field(pattern=r"^[0-9A-F]{40}$")]
HostName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$")]
ImageReference = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9._/:-]*:[A-Za-z0-9_][A-Za-z0-9._-]*(@sha256:[0-9a-f]{64})?$")
]
SingleLine = Annotated[str, Field(pattern=r"^[^\r\n]*$")]
Sentence = Annotated[str, Field(pattern=r"^[^\r\n]+$")]
"""One line that is not empty."""

VOICES = frozenset(
    [
        "casual_female",
        "casual_male",
        "cheerful_female",
        "neutral_female",
        "neutral_male",
        "pt_male",
        "pt_female",
        "nl_male",
        "nl_female",
        "it_male",
        "it_female",
        "fr_male",
        "fr_female",
        "es_male",
        "es_female",
        "de_male",
        "de_female",
        "ar_male",
        "hi_male",
        "hi_female",
    ]
)
"""The twenty voices of Voxtral-4B-TTS-2603 (facts: vllm-and-models.md, 1.6)."""


class SettingsError(PyinfraError):
    """The settings of one or more hosts cannot work; the message names each key, its problem and the fix."""


class Section(BaseModel):
    """One group of settings; `coerce_numbers_to_str` because `--data KEY=580` arrives as a number."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


class Site(Section):
    """Who the deployment is for."""

    domain: HostName
    acme: Literal["production", "staging", "internal"]
    acme_email: Annotated[str, Field(pattern=r"^([^\s@]+@[^\s@]+)?$")]
    public_address: str
    imds_url: Url
    region: str
    allowed_regions: list[str] = Field(min_length=1)
    language: Annotated[str, Field(pattern=r"^[a-z]{2}$")]

    @field_validator("public_address")
    @classmethod
    def _address_or_imds(cls, value: str) -> str:
        if value != "imds":
            ip_address(value)
        return value


class Preflight(Section):
    """What a host must offer (sizes in GiB)."""

    memory_gib: float | Literal["plan"]
    disk_root_gib: float
    disk_docker_gib: float
    disk_models_gib: float
    disk_headroom_gib: float
    clock_skew_s: Positive


class Gpu(Section):
    """The card that the engines share, and how much of it stays free (deploys/gpu plans with it)."""

    card: str
    headroom_gib: Annotated[float, Field(ge=0)]

    @field_validator("card")
    @classmethod
    def _known_card(cls, value: str) -> str:
        card(value)
        return value


class RepositoryKey(Section):
    """The one key that may sign a repository: its file's name below the repository, its fingerprint."""

    file: str
    fingerprint: Fingerprint


class Nvidia(Section):
    """Driver and container toolkit."""

    branch: Annotated[str, Field(pattern=r"^[0-9]{3}-server$")]
    kernel_modules: Literal["open", "proprietary"]
    source: Literal["auto", "distribution", "nvidia"]
    repository_url: Url
    repository_keys: dict[str, RepositoryKey]
    toolkit_url: Url
    toolkit_fingerprint: Fingerprint
    toolkit_version: str


class Docker(Section):
    """Engine, Compose, buildx."""

    source: Literal["docker", "distribution"]
    repository_url: Url
    repository_fingerprint: Fingerprint
    version: str
    registry_mirrors: list[Url]
    log_max_size: Annotated[str, Field(pattern=r"^[0-9]+[kmg]$")]
    log_max_file: Positive


class Pypi(Section):
    """Where hosts get Python packages from."""

    index_url: Url


class Weights(Section):
    """What /models holds."""

    directory: Annotated[str, Field(pattern=r"^/[A-Za-z0-9._/-]+[A-Za-z0-9]$")]
    endpoint: Url
    source: Annotated[str, Field(pattern=r"^(/[^\s]+)?$")]
    verify: Literal["quick", "deep"]
    keep_replaced_days: KeepDays
    catalog: dict[str, Model] = Field(min_length=1)

    @field_validator("keep_replaced_days", mode="before")
    @classmethod
    def _days_or_forever(cls, value: Any) -> Any:
        if value == "forever" or (type(value) is int and value >= 0):
            return value
        raise ValueError('not a number of days and not "forever"')

    @field_validator("catalog", mode="before")
    @classmethod
    def _name_the_models(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: {"name": name, **entry} if isinstance(entry, dict) else entry for name, entry in value.items()}


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
    """Llama Guard; context in tokens, the deadline of one verdict in milliseconds."""

    model: str
    port: Port
    placement: Annotated[str, Field(pattern=r"^(gpu0|gpu1|https?://[^\s/@]+)$")]
    sequences: Positive
    context: Positive
    eager: bool
    judges_callers: bool
    categories: list[Annotated[str, Field(pattern=r"^S([1-9]|1[0-3])$")]]
    deadline_ms: Annotated[int, Field(ge=50, le=60_000)]
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


class Releases(Section):
    """What is kept of the sets of files that were healthy."""

    keep: Annotated[int, Field(ge=2)]


class Rollback(Section):
    """Going back by hand (deploys/rollback.py): a release's number, 0 for the one before."""

    to: Annotated[int, Field(ge=0)]


class Gate(Section):
    """The verification (deploys/verify.py); paths are the controller's."""

    rotation: bool
    report: SingleLine
    recordings: SingleLine
    question: Sentence
    question_wav: SingleLine
    unsafe_question: Sentence
    patience_s: Positive
    least_overlap: Fraction


class Audit(Section):
    """The audit (deploys/audit.py); paths are the controller's."""

    report: SingleLine
    against: SingleLine
    strict: bool


class Settings(Section):
    """Everything a deploy may know, section by section."""

    site: Site
    preflight: Preflight
    gpu: Gpu
    nvidia: Nvidia
    docker: Docker
    pypi: Pypi
    weights: Weights
    image: Image
    livekit: Livekit
    caddy: Caddy
    talk: Talk
    voxtral: Voxtral
    guard: Guard
    agent: Agent
    releases: Releases
    rollback: Rollback
    gate: Gate
    audit: Audit

    @property
    def models(self) -> dict[str, Model]:
        """The models this host uses, in the catalog's order; the catalog may know more."""
        used = {self.voxtral.model, self.agent.whisper_model, *([self.guard.model] if self.guard.is_here else [])}
        return {name: model for name, model in self.weights.catalog.items() if name in used}

    def model_path(self, name: str) -> str:
        """Where that model lies on the host and in the containers."""
        return f"{self.weights.directory}/{name}"


SECTIONS: dict[str, type[Section]] = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
}
KEYS = frozenset(f"{name}_{field}" for name, section in SECTIONS.items() for field in section.model_fields)


def parse(data: Mapping[str, Any]) -> Settings:
    """`data` as Settings that do not contradict each other.

    Its keys are flat; the connectors' `ssh_*` and `eic_*` and pyinfra's own `_*` may be among them.

    Raises:
        SettingsError: with one line for each problem.
    """
    settings, problems = typed(data)
    problems += contradictions(settings)
    if problems:
        raise SettingsError(report(problems))
    return settings


def typed(data: Mapping[str, Any]) -> tuple[Settings, list[str]]:
    """`data` as Settings that are each right by themselves, and a line for each key that is none.

    Raises:
        SettingsError: a value is missing or of the wrong type.
    """
    own = {key: value for key, value in data.items() if not key.startswith(("_", "ssh_", "eic_"))}
    problems = [_unknown(key) for key in sorted(own.keys() - KEYS)]
    sections: dict[str, Section] = {}
    for name, section in SECTIONS.items():
        values = {
            key.removeprefix(f"{name}_"): own[key]
            for key in own.keys() & KEYS
            if key.startswith(f"{name}_") and key.removeprefix(f"{name}_") in section.model_fields
        }
        try:
            sections[name] = section.model_validate(values)
        except ValidationError as error:
            problems += [_describe(name, detail) for detail in error.errors()]
    if len(sections) < len(SECTIONS):
        raise SettingsError(report(problems))
    return Settings.model_validate(sections), problems


def load(host: Any) -> Settings:
    """The settings of a pyinfra host.

    Raises:
        SettingsError: with one line for each problem.
    """
    return parse(host.data.dict())


def report(problems: list[str]) -> str:
    """Many problems as one message."""
    count = "1 setting cannot work" if len(problems) == 1 else f"{len(problems)} settings cannot work"
    return "\n".join([f"{count}; nothing was changed:", *(f"  - {problem}" for problem in problems)])


def _unknown(key: str) -> str:
    close = difflib.get_close_matches(key, KEYS, n=1)
    hint = f"did you mean {close[0]}?" if close else "remove it, or see group_data/all.py for the known ones"
    return f"{key}: no such setting; {hint}"


def _describe(section: str, detail: Any) -> str:
    key = f"{section}_{detail['loc'][0]}" if detail["loc"] else section
    place = "".join(f"[{part!r}]" for part in detail["loc"][1:])
    if detail["type"] == "missing" and not place:
        return f"{key}: missing; set it in group_data or give --data {key}=..."
    shown = "" if detail["type"] == "missing" else f" (got {detail['input']!r})"
    return f"{key}{place}: {detail['msg'].removeprefix('Value error, ')}{shown}"
