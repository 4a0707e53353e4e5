"""The stack as values to draw: services, who listens where, who asks whom, what lies on which disk. Pure.

All of it comes from the settings and from the files that a deploy would render of them; here stand only the words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import yaml

from on_host.weights.progress import size
from voicestack.audit.findings import counted
from voicestack.audit.network import local_ports, public_ports
from voicestack.gpu.plan import GpuProcess
from voicestack.gpu.speed import sessions
from voicestack.gpu.units import GIB, gib
from voicestack.host.disks import CONTAINERDS, DOCKERS, disk_needs, pinned_image_place
from voicestack.paths import HOME, STATE
from voicestack.plan.picture import LOOKS
from voicestack.settings.model import Settings
from voicestack.stack.render import CADDYS_FILE, HostFacts, environments, render

BROWSER = "browser"
EVERYONE, LOOPBACK = "everyone", "127.0.0.1"

ROLES = {
    "caddy": "TLS, certificates",
    "livekit": "SFU: rooms, media",
    "voice-agent": "the conversation, {calls} at once; {model} hears on {device}",
    "vllm-voxtral": "speaks: {model}",
    "vllm-guard": "judges: {model}",
}
"""Service -> what it is for; its model is the one that it mounts."""

LISTENS = {
    "tcp 443": ("caddy", "signalling (wss)"),
    "tcp 80": ("caddy", "leads to 443"),
    "livekit_tcp_port": ("livekit", "media over TCP"),
    "livekit_turn_port": ("livekit", "TURN, STUN"),
    "livekit_port": ("livekit", "signalling, API"),
    "caddy_health_port": ("caddy", "health"),
    "voxtral_port": ("vllm-voxtral", "HTTP"),
    "guard_port": ("vllm-guard", "HTTP"),
    "agent_health_port": ("voice-agent", "health, metrics"),
}
"""The setting of a port (Caddy's two have none) -> who listens there, and for what."""

NOWHERE = HostFacts(public_address="192.0.2.1", agent_image="voice-agent")
"""A host's own facts change nothing that is drawn."""


class UndrawnError(ValueError):
    """The rendered files have something that has no words here."""


@dataclass(frozen=True)
class Listener:
    """Who listens on which port ("443") or ports ("50000-50199"), for whom (EVERYONE or LOOPBACK), for what."""

    service: str
    protocol: str
    ports: str
    whom: str
    what: str

    @property
    def place(self) -> str:
        """As the picture has it."""
        return f"{self.ports}/{self.protocol}" if self.whom == EVERYONE else f"{LOOPBACK}:{self.ports}"


@dataclass(frozen=True)
class Question:
    """Who asks whom, where ("" where the name says it), for what; `outside`: not one of the services."""

    who: str
    whom: str
    where: str
    what: str
    outside: bool = False


@dataclass(frozen=True)
class Card:
    """A card's name, and who takes how much of it: (service, "" for nobody; what; GiB)."""

    name: str
    parts: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True)
class Stack:
    """Everything that is drawn.

    Attributes:
        services: name -> what it is for, in compose.yml's order.
        directory: where the models lie.
        models: those in use: name -> its size ("8.0 GB", "" if nothing is pinned) and the services that mount it.
        disks: path that may be a disk of its own -> GiB that preflight asks for there, and what lies there.
    """

    services: Mapping[str, str]
    listeners: tuple[Listener, ...]
    questions: tuple[Question, ...]
    cards: tuple[Card, ...]
    directory: str
    models: Mapping[str, tuple[str, tuple[str, ...]]]
    disks: Mapping[str, tuple[float, str]]


def stack(settings: Settings) -> Stack:
    """The stack that these settings make.

    Raises:
        UndrawnError: a service or a port without words here, a service that is told to ask where nobody listens.
    """
    files = render(settings, NOWHERE)
    compose = yaml.safe_load(files["compose.yml"].content)
    if unknown := sorted(compose["services"].keys() - ROLES.keys()):
        raise UndrawnError(
            f"compose.yml has {', '.join(unknown)}: give it a role in docs/stack.py, a place in docs/picture.py"
        )
    models = _models(settings, compose["services"])
    return Stack(
        services=_roles(settings, compose["services"], models),
        listeners=_listeners(settings),
        questions=_questions(settings, files[CADDYS_FILE].content.decode()),
        cards=tuple(_card(settings, index) for index in range(len(settings.plan.cards))),
        directory=settings.weights.directory,
        models=models,
        disks=_disks(settings, compose["volumes"], models),
    )


def _roles(settings: Settings, services: Mapping[str, Any], models: Mapping[str, Any]) -> dict[str, str]:
    memory = settings.plan
    device = "the card" if memory.whisper_device == "cuda" else "the CPU"
    calls = counted(sessions(memory), "call")
    mounted = {service: name for name, (_, users) in models.items() for service in users}
    return {name: ROLES[name].format(model=mounted.get(name, ""), device=device, calls=calls) for name in services}


def _listeners(settings: Settings) -> tuple[Listener, ...]:
    livekit, found = settings.livekit, []
    for ports, whom in ((public_ports(settings), EVERYONE), (local_ports(settings), LOOPBACK)):
        for (protocol, port), name in ports.items():
            key = name if name in LISTENS else f"{protocol} {port}"
            if key not in LISTENS:
                raise UndrawnError(f"{name} listens on {protocol} {port}: docs/stack.py has no words for it")
            service, what = LISTENS[key]
            found.append(Listener(service, protocol, str(port), whom, what))
    ranges = [(livekit.rtc_port_start, livekit.rtc_port_end, "media")]
    if livekit.turn_enabled:
        ranges.append((livekit.turn_relay_port_start, livekit.turn_relay_port_end, "media that TURN relays"))
    found += [Listener("livekit", "udp", f"{first}-{last}", EVERYONE, what) for first, last, what in ranges]
    return tuple(sorted(found, key=lambda each: (list(ROLES).index(each.service), each.whom != EVERYONE)))


def _questions(settings: Settings, caddyfile: str) -> tuple[Question, ...]:
    """The browser's, and what Caddy and the agent are told to ask."""
    here = {each.ports: each.service for each in _listeners(settings) if each.whom == LOOPBACK}
    found = [
        Question(BROWSER, each.service, each.place, each.what) for each in _listeners(settings) if each.whom == EVERYONE
    ]
    found += [Question(BROWSER, address, "", "STUN", outside=True) for address in settings.livekit.stun_servers]
    upstream = set(re.findall(r"^\s*reverse_proxy (\S+)", caddyfile, re.MULTILINE))
    found += [_asked("caddy", f"http://{address}", "signalling", here) for address in upstream]
    for authority in re.findall(r"^\s*acme_ca https://([^/\s]+)", caddyfile, re.MULTILINE):
        found.append(Question("caddy", "Let's Encrypt", authority, "certificates", outside=True))
    words = environments(settings)["voice-agent"]
    for name, what in (
        ("LIVEKIT_URL", "as its worker"),
        ("TTS_URL", "sentences to speak"),
        ("GUARD_URL", "texts to judge"),
    ):
        found.append(_asked("voice-agent", words[name], what, here))
    where = urlsplit(words["BEDROCK_URL"]).hostname or words["AWS_REGION"]
    found.append(Question("voice-agent", "Bedrock", where, words["BEDROCK_MODEL_ID"], outside=True))
    return tuple(found)


def _asked(who: str, url: str, what: str, here: Mapping[str, str]) -> Question:
    address = urlsplit(url)
    if address.hostname != LOOPBACK:
        return Question(who, "another host", address.netloc, what, outside=True)
    if str(address.port) not in here:
        raise UndrawnError(f"{who} asks {url}, where none of the services listens")
    return Question(who, here[str(address.port)], address.netloc, what)


def _card(settings: Settings, index: int) -> Card:
    card = settings.plan.cards[index]
    parts = [part for process in card.processes for part in _parts(process)]
    return Card(f"GPU {index}: {card.card.name}, {gib(card.card.usable)}", (*parts, ("", "free", card.free / GIB)))


def _parts(process: GpuProcess) -> list[tuple[str, str, float]]:
    service = next(name for name in ROLES if name in process.name)
    cache = process.need.kv_cache / GIB
    own = (service, LOOKS[process.name][0], process.need.peak / GIB - cache)
    return [own, (service, "KV cache", cache)] if cache else [own]


def _models(settings: Settings, services: Mapping[str, Any]) -> dict[str, tuple[str, tuple[str, ...]]]:
    found = {}
    for name, model in settings.models.items():
        mount = f"{settings.model_path(name)}:"
        users = tuple(
            service for service, each in services.items() if any(word.startswith(mount) for word in each["volumes"])
        )
        pinned = sum(pin.size or 0 for pin in model.files.values())
        found[name] = (size(pinned) if pinned else "", users)
    return found


def _disks(
    settings: Settings, volumes: Mapping[str, Any], models: Mapping[str, tuple[str, tuple[str, ...]]]
) -> dict[str, tuple[float, str]]:
    images = pinned_image_place(settings)
    held = "images; " if images == DOCKERS else ""
    sizes = (f"{name} {pinned}".rstrip() for name, (pinned, _) in models.items())
    lies = {
        "/": (
            f"{HOME}: files, secrets, the last {settings.releases.keep} releases; {STATE}: certificates; "
            "/var/log/voice: who ran what"
        ),
        DOCKERS: f"{held}volumes {', '.join(volumes)}",
        CONTAINERDS: "images",
        settings.weights.directory: f"{', '.join(sizes)}; what is fetched (.staging) or was replaced (.replaced)",
    }
    return {path: (need, lies[path]) for path, need in disk_needs(settings, images).items()}
