"""Settings to files: every file of the stack as it shall be on a host. Pure: no host, no clock, no network."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from voicestack.bundle import CODE, bundle
from voicestack.gpu.ram import host_memory
from voicestack.gpu.speed import sessions
from voicestack.paths import ROOT, STATE
from voicestack.remote import File
from voicestack.secrets.run import env_files
from voicestack.settings import omni
from voicestack.settings.model import Settings

TEMPLATES = ROOT / "templates"

SERVICES = ("livekit", "caddy", "vllm-voxtral", "vllm-guard", "voice-agent")
"""All there can be; `services` says which are on a host."""

CADDYS_FILE = "caddy/Caddyfile"
RELOADS = {
    "caddy": {
        "files": [CADDYS_FILE],
        "command": [
            *("caddy", "reload", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"),
            *("--address", "unix//config/admin.sock"),
        ],
    }
}
"""Service -> the mounted files that it reads again without a restart, and the command in its container that says so."""

CALLERS = {"caddy": ("tcp://127.0.0.1:443",)}
"""Service -> where callers connect. Not https: the certificate may be on its way, and deploys/verify.py asks for it."""

MOUNTED = {
    "livekit": ("livekit/livekit.yaml",),
    "caddy": (),
    "vllm-voxtral": (
        "voxtral/voxtral_tts.yaml",
        "engine/gpu_start.py",
        "engine/health.py",
        "engine/logging.json",
    ),
    "vllm-guard": ("engine/gpu_start.py", "engine/health.py", "engine/logging.json"),
    "voice-agent": (),
}
"""Service -> the files it reads through mounts. Compose does not see their content: a label carries its hash.
Not among them: weights, where start.py on the host compares where they came from, and what RELOADS has."""


@dataclass(frozen=True)
class HostFacts:
    """What the files need to know of the host: the address of the callers' media, the agent's image."""

    public_address: str
    agent_image: str


def services(settings: Settings) -> tuple[str, ...]:
    """The services on this host: all of them, but for a guard on another one."""
    return tuple(service for service in SERVICES if service != "vllm-guard" or settings.guard.is_here)


def start_order(settings: Settings) -> list[list[str]]:
    """Each group starts when the one before it is healthy; engines of one card never warm up at the same time."""
    engines = {
        "gpu0": [["vllm-voxtral"], ["vllm-guard"]],
        "gpu1": [["vllm-voxtral", "vllm-guard"]],
    }.get(settings.guard.placement, [["vllm-voxtral"]])
    return [["livekit", "caddy"], *engines, ["voice-agent"]]


def render(settings: Settings, facts: HostFacts) -> dict[str, File]:
    """Every file of the stack, by its path below HOME."""
    memory = settings.plan
    release = omni.release_of(settings.image.vllm_voxtral)
    files = {
        "livekit/livekit.yaml": _text(_template("livekit.yaml.j2", settings, public_address=facts.public_address)),
        CADDYS_FILE: _text(_template("Caddyfile.j2", settings)),
        "voxtral/voxtral_tts.yaml": _text(_template("voxtral_tts.yaml.j2", settings, plan=memory, omni=release)),
        "engine/logging.json": _copy(TEMPLATES / "engine_logging.json"),
        "engine/gpu_start.py": _copy(CODE / "engine" / "gpu_start.py"),
        "engine/health.py": _copy(CODE / "engine" / "health.py"),
    }
    for service, variables in environments(settings).items():
        files[f"env/{service}.env"] = _text(environment_file(variables), mode=0o600)
    files["compose.yml"] = _text(
        _template(
            "compose.yml.j2",
            settings,
            omni=release,
            inputs={service: _inputs(files, service) for service in services(settings)},
            secret_files={service: env_files(service) for service in services(settings)},
            agent_image=facts.agent_image,
            tools_image=settings.tools_build.name,
            caddy_image=settings.caddy_image,
            state_directory=STATE,
            voxtral_path=settings.model_path(settings.voxtral.model),
            guard_path=settings.model_path(settings.guard.model),
            whisper_path=settings.model_path(settings.agent.whisper_model),
            health=health(settings),
            reaches=reaches(settings),
            plan=memory,
            agent_memory_limit=host_memory(memory).agent_limit,
        )
    )
    released = sorted([*files, "bin/start.json"])
    files["bin/start.json"] = _text(json.dumps({**start_plan(settings), "files": released}, indent=2) + "\n")
    return {**files, **host_programs()}


def host_programs() -> dict[str, File]:
    """What runs on the host, in bin/. It is no part of a release: what goes back must be the newest that knows how."""
    programs = {f"bin/{path}": file for path, file in bundle("start").items()}
    return {**programs, "bin/start.py": programs["bin/on_host/start/__main__.py"]}


def environments(settings: Settings) -> dict[str, dict[str, str]]:
    """Service -> its environment. No service may download anything; the engines do not report their usage."""
    offline = {"HF_HUB_OFFLINE": "1"}
    engine = {
        **offline,
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        # vllm-omni 0.18 logs the first 50 characters of every sentence it speaks, at level INFO.
        "VLLM_LOGGING_CONFIG_PATH": "/opt/voice/engine/logging.json",
    }
    every = {
        "livekit": offline,
        "caddy": offline,
        "vllm-voxtral": engine,
        "vllm-guard": engine,
        "voice-agent": {**offline, **_agent_environment(settings)},
    }
    return {service: every[service] for service in services(settings)}


def _agent_environment(settings: Settings) -> dict[str, str]:
    agent, guard, site = settings.agent, settings.guard, settings.site
    memory = settings.plan
    return {
        "LIVEKIT_URL": f"ws://127.0.0.1:{settings.livekit.port}",
        "TTS_URL": f"http://127.0.0.1:{settings.voxtral.port}",
        "TTS_VOICE": settings.voxtral.voice,
        "TTS_MODEL": settings.voxtral.model,
        "GUARD_URL": guard.url,
        "GUARD_MODEL": guard.model,
        "GUARD_INPUT": "true" if guard.judges_callers else "false",
        "GUARD_CATEGORIES": ",".join(guard.categories),
        "GUARD_DEADLINE_MS": str(guard.deadline_ms),
        "GUARD_REFUSAL": guard.refusal,
        "FASTER_WHISPER_MODEL": settings.model_path(agent.whisper_model),
        "WHISPER_DEVICE": memory.whisper_device,
        "WHISPER_THREADS": str(agent.whisper_threads),
        "AGENT_LANGUAGE": site.language,
        "AGENT_GREETING": agent.greeting,
        "AGENT_INSTRUCTIONS": agent.instructions,
        "AGENT_APOLOGY": agent.apology,
        "AGENT_PUBLISH_TRANSCRIPTS": "true" if agent.publish_transcripts else "false",
        "AGENT_HEALTH_PORT": str(agent.health_port),
        "AGENT_NAME": agent.name,
        "AGENT_MAX_SESSIONS": str(sessions(memory)),
        "AGENT_DRAIN_SECONDS": str(agent.drain_s),
        "AGENT_SILENT_CALL_SECONDS": str(agent.silent_call_s),
        "AGENT_ALLOWED_REGIONS": ",".join(site.allowed_regions),
        "AWS_REGION": site.region,
        "BEDROCK_MODEL_ID": agent.bedrock_model,
        "BEDROCK_URL": agent.bedrock_url,
        "BEDROCK_MAX_TOKENS": str(agent.bedrock_max_tokens),
        "BEDROCK_TEMPERATURE": str(agent.bedrock_temperature),
    }


def environment_file(variables: Mapping[str, str]) -> str:
    """An env_file as Compose reads it: single quotes keep `$`, `#` and spaces as they are."""
    return "".join(f"{name}={_quoted(value)}\n" for name, value in variables.items())


def _quoted(value: str) -> str:
    if "\n" in value or "\r" in value:
        raise ValueError("an environment variable of a service must be one line")
    return "'" + value.replace("'", "\\'") + "'"


def health(settings: Settings) -> dict[str, str]:
    """Service -> where it answers as long as it is well, on the host and in its container alike."""
    ports = {
        "livekit": f"{settings.livekit.port}/",
        "caddy": f"{settings.caddy.health_port}/healthz",
        "vllm-voxtral": f"{settings.voxtral.port}/health",
        "vllm-guard": f"{settings.guard.port}/health",
        "voice-agent": f"{settings.agent.health_port}/",
    }
    return {service: f"http://127.0.0.1:{ports[service]}" for service in services(settings)}


def reaches(settings: Settings) -> dict[str, dict[str, str]]:
    """Service -> service that it waits for when it starts -> where on their network it asks."""
    if settings.guard.placement != "gpu0":
        return {}
    return {"vllm-guard": {"vllm-voxtral": f"http://vllm-voxtral:{settings.voxtral.port}/health"}}


def start_plan(settings: Settings) -> dict[str, object]:
    """What start.py needs to know: the order, how long each service may take (seconds), what reloads, what to keep.

    And where each is used: `reached` on the host, `reaches` from its container (on_host/start/reach.py).
    Old releases have their own: names are added, not changed.
    """
    timeouts = {
        "livekit": 60,
        "caddy": 60,
        "vllm-voxtral": settings.voxtral.start_timeout_s,
        "vllm-guard": settings.guard.start_timeout_s,
        "voice-agent": settings.agent.start_timeout_s,
    }
    here = services(settings)
    return {
        "groups": start_order(settings),
        "timeouts": {service: seconds for service, seconds in timeouts.items() if service in here},
        "reached": {service: [url, *CALLERS.get(service, ())] for service, url in health(settings).items()},
        "reaches": reaches(settings),
        "reloads": RELOADS,
        "releases_keep": settings.releases.keep,
    }


@functools.cache
def _environment(templates: Path) -> Environment:
    return Environment(
        loader=FileSystemLoader(templates),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - the output is YAML and a Caddyfile, not HTML
    )


def _template(name: str, settings: Settings, **values: object) -> str:
    sections = {section: getattr(settings, section) for section in type(settings).model_fields}
    return _environment(TEMPLATES).get_template(name).render(**sections, **values)


def _text(text: str, mode: int = 0o644) -> File:
    return File(text.encode("utf-8"), mode)


def _copy(path: Path) -> File:
    return File(path.read_bytes())


def _inputs(files: Mapping[str, File], service: str) -> str:
    digest = hashlib.sha256()
    for path in MOUNTED[service]:
        digest.update(files[path].content)
    return digest.hexdigest()[:16]
