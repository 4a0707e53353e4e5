"""`host.data` as one typed, frozen `Settings`; every mistake in it reported at once, by key.

Keys are flat (`voxtral_port`) because pyinfra overrides data key by key; here they become sections
(`settings.voxtral.port`). This module holds no values: they stand in group_data.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from fnmatch import fnmatch
from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pyinfra.api.exceptions import PyinfraError

from deploys.models.catalog import Model

Port = Annotated[int, Field(ge=1, le=65535)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[int, Field(ge=1)]
Url = Annotated[str, Field(pattern=r"^https?://[^\s/]+(/[^\s]*)?$")]
Fingerprint = Annotated[str, Field(pattern=r"^[0-9A-F]{40}$")]
HostName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$")]
ImageReference = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9._/:-]*:[A-Za-z0-9_][A-Za-z0-9._-]*(@sha256:[0-9a-f]{64})?$")
]
SingleLine = Annotated[str, Field(pattern=r"^[^\r\n]*$")]

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

VLLM_OMNI_RELEASE = "v0.18.0"
"""The one vllm-omni release whose command line and stage file the templates speak."""


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

    memory_gib: float
    disk_root_gib: float
    disk_docker_gib: float
    disk_models_gib: float
    disk_headroom_gib: float
    clock_skew_s: Positive
    gpus: list[Annotated[str, Field(pattern=r"^[0-9a-f]{4}$")]] = Field(min_length=1)


class Nvidia(Section):
    """Driver and container toolkit."""

    branch: Annotated[str, Field(pattern=r"^[0-9]{3}-server$")]
    kernel_modules: Literal["open", "proprietary"]
    source: Literal["auto", "distribution", "nvidia"]
    repository_url: Url
    repository_key: str
    repository_fingerprint: Fingerprint
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
    catalog: dict[str, Model] = Field(min_length=1)

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


class Voxtral(Section):
    """The speech engine; memory as fractions of the card, contexts in tokens."""

    model: str
    port: Port
    voice: str
    stage0_memory: Fraction
    stage0_sequences: Positive
    stage0_context: Positive
    stage0_eager: bool
    stage1_memory: Fraction
    start_timeout_s: Positive

    @field_validator("voice")
    @classmethod
    def _known_voice(cls, value: str) -> str:
        if value not in VOICES:
            raise ValueError(f"not one of Voxtral's voices; choose from: {', '.join(sorted(VOICES))}")
        return value


class Guard(Section):
    """Llama Guard; memory as a fraction of the card, context in tokens."""

    model: str
    port: Port
    memory: Fraction
    sequences: Positive
    context: Positive
    eager: bool
    start_timeout_s: Positive


class Agent(Section):
    """The voice agent."""

    health_port: Port
    name: SingleLine
    greeting: Annotated[str, Field(pattern=r"^[^\r\n]+$")]
    whisper_model: str
    bedrock_model: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.:-]*$")]
    max_sessions: Positive
    drain_s: Positive
    start_timeout_s: Positive


class Settings(Section):
    """Everything a deploy may know, section by section."""

    site: Site
    preflight: Preflight
    nvidia: Nvidia
    docker: Docker
    pypi: Pypi
    weights: Weights
    image: Image
    livekit: Livekit
    caddy: Caddy
    voxtral: Voxtral
    guard: Guard
    agent: Agent

    def model(self, name: str) -> Model:
        """The catalog's entry of that name (checked to exist when the settings were read)."""
        return self.weights.catalog[name]

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
    """`data` (flat keys, pyinfra's own `ssh_*` and `_*` among them) as Settings.

    Raises:
        SettingsError: with one line for each problem.
    """
    own = {key: value for key, value in data.items() if not key.startswith(("_", "ssh_"))}
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
    settings = Settings.model_validate(sections)
    problems += contradictions(settings)
    if problems:
        raise SettingsError(report(problems))
    return settings


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


def contradictions(settings: Settings) -> list[str]:
    """What is wrong between settings that are each right by themselves."""
    return [
        *_residency(settings),
        *_certificates(settings),
        *_ports(settings),
        *_models(settings),
        *_memory(settings),
        *_media(settings),
        *_release(settings),
    ]


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


def _residency(settings: Settings) -> list[str]:
    site = settings.site
    problems = []
    if not any(fnmatch(site.region, pattern) for pattern in site.allowed_regions):
        allowed = ", ".join(site.allowed_regions)
        problems.append(f"site_region: {site.region} is outside site_allowed_regions ({allowed})")
    prefix, dot, _ = settings.agent.bedrock_model.partition(".")
    if dot and prefix in {"us", "apac", "global", "jp", "au", "ca", "us-gov"}:
        problems.append(
            f"agent_bedrock_model: the inference profile {prefix}.* sends requests outside "
            f"{', '.join(site.allowed_regions)}; use an eu.* profile or a model of {site.region}"
        )
    return problems


def _certificates(settings: Settings) -> list[str]:
    site = settings.site
    if site.acme != "internal" and not site.acme_email:
        return [f"site_acme_email: needed with site_acme = {site.acme!r} (Let's Encrypt writes to it)"]
    return []


def listening_ports(settings: Settings) -> dict[str, int]:
    """Setting -> port, for every single port the stack listens on."""
    return {
        "livekit_port": settings.livekit.port,
        "livekit_tcp_port": settings.livekit.tcp_port,
        "livekit_turn_port": settings.livekit.turn_port,
        "caddy_health_port": settings.caddy.health_port,
        "voxtral_port": settings.voxtral.port,
        "guard_port": settings.guard.port,
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
    fractions = {
        "voxtral_stage0_memory": settings.voxtral.stage0_memory,
        "voxtral_stage1_memory": settings.voxtral.stage1_memory,
        "guard_memory": settings.guard.memory,
    }
    total = sum(fractions.values())
    # Three CUDA contexts of 0.3-0.5 GiB lie outside these fractions (facts: vllm-and-models.md, section 4).
    if total > 0.90:
        parts = " + ".join(f"{key} {value}" for key, value in fractions.items())
        return [f"{parts} = {total:.2f} of the card; at most 0.90 leaves room for the three CUDA contexts"]
    return []


def _media(settings: Settings) -> list[str]:
    if settings.livekit.turn_enabled or settings.livekit.stun_servers:
        return []
    return [
        "livekit_turn_enabled: with TURN off and livekit_stun_servers empty, LiveKit sends callers to Google's "
        "and Twilio's STUN servers, outside the allowed regions; enable TURN or name STUN servers of your own"
    ]


def _release(settings: Settings) -> list[str]:
    images = {
        "image_vllm_voxtral": settings.image.vllm_voxtral,
        "image_vllm_guard": settings.image.vllm_guard,
    }
    problems = []
    for key, image in images.items():
        name, _, tag = image.partition("@")[0].rpartition(":")
        if key == "image_vllm_voxtral" and not name.endswith("vllm-omni"):
            problems.append(
                f"{key}: {name} cannot serve Voxtral-4B-TTS (no module 'acoustic_transformer'); use vllm/vllm-omni"
            )
        elif name.endswith("vllm-omni") and tag != VLLM_OMNI_RELEASE:
            problems.append(f"{key}: the templates speak vllm-omni {VLLM_OMNI_RELEASE}, not {tag}")
    return problems
