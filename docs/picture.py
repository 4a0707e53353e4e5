"""The stack as text, for the README and a terminal: who listens where, who asks whom, what lies on which disk. Pure.

All of it comes from the settings and from the files that a deploy would render of them; here stand only the words.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import Any
from urllib.parse import urlsplit

import yaml

from voicestack.gpu.plan import CardPlan
from voicestack.gpu.speed import sessions
from voicestack.gpu.units import GIB, gib
from voicestack.host.disks import CONTAINERDS, DOCKERS, disk_needs, pinned_image_place
from voicestack.paths import HOME, STATE
from voicestack.plan.picture import LOOKS
from voicestack.settings.model import Settings
from voicestack.settings.ports import Listener, listeners
from voicestack.stack.render import CADDYS_FILE, HostFacts, environments, render

ROLES = {
    "caddy": "TLS, certificates",
    "livekit": "SFU: rooms, media",
    "voice-agent": "the conversation, {calls} at once; {model} hears on {device}",
    "vllm-voxtral": "speaks: {model}",
    "vllm-guard": "judges: {model}",
}
"""Service -> what it is for; its model is the one that it mounts."""

ENGINES = {"vllm-voxtral": "sentences to speak", "vllm-guard": "texts to judge"}
"""Engine -> what the agent asks it for."""

LOOPBACK = "127.0.0.1"
BOX, GAP, WIDTH = 58, 2, 104
"""Letters of a box, between two that stand side by side, and of a line."""

PASSING = "  |  "
"""Left of what the browser's media passes by."""

INDENT = " " * len(PASSING)


class UndrawnError(ValueError):
    """The rendered files have something that has no words here."""


def drawn(settings: Settings) -> str:
    """The picture; ends in a newline.

    Raises:
        UndrawnError: a service or a port without words here, a service that is told to ask where nobody listens.
    """
    files = render(settings, HostFacts(public_address="192.0.2.1", agent_image="voice-agent"))
    compose, caddyfile = yaml.safe_load(files["compose.yml"].content), files[CADDYS_FILE].content.decode()
    if unknown := sorted(compose["services"].keys() - ROLES.keys()):
        raise UndrawnError(f"compose.yml has {', '.join(unknown)}: give it a role and a place in docs/picture.py")
    _check_upstreams(settings, caddyfile)
    roles, outside = _roles(settings, compose["services"]), _outside(settings, caddyfile)

    def box(service: str, width: int = BOX) -> list[str]:
        ports = [f"{_place(each)} {each.what}" for each in listeners(settings) if each.service == service]
        return _box(service, [roles[service], *ports], outside.get(service, []), width)

    here = [name for name in ENGINES if name in roles]
    width = (BOX - GAP * (len(here) - 1)) // len(here)
    engines = zip_longest(*(["  |  " + ENGINES[name], "  v", *box(name, width)] for name in here), fillvalue="")
    livekit = box("livekit")
    lines = [
        f" browser{''.join(f' --> STUN {server}' for server in settings.livekit.stun_servers)}",
        *(f"{PASSING}{line}" for line in ("  |", "  v", *box("caddy"), "  |  signalling", "  v", livekit[0])),
        f"  +->{livekit[1]}",
        *(f"{INDENT}{line}" for line in (*livekit[2:], "  ^", "  |  as its worker", *box("voice-agent"))),
        *(INDENT + (" " * GAP).join(f"{line:<{width}}" for line in row).rstrip() for row in engines),
        "",
        *(f"{INDENT}{line}" for index, card in enumerate(settings.plan.cards) for line in _card(index, card)),
        "",
        *_disks(settings, compose["volumes"]),
    ]
    return "\n".join(lines) + "\n"


def _place(each: Listener) -> str:
    return f"{each.numbers}/{each.protocol}" if each.is_public else f"{LOOPBACK}:{each.first}"


def _outside(settings: Settings, caddyfile: str) -> dict[str, list[str]]:
    """Service -> whom it asks beyond the host, and for what, in two lines each."""
    authorities = re.findall(r"^\s*acme_ca https://([^/\s]+)", caddyfile, re.MULTILINE)
    bedrock = urlsplit(settings.agent.bedrock_url).hostname or settings.site.region
    guard = [] if settings.guard.is_here else [f" --> {urlsplit(settings.guard.url).netloc}", "     texts to judge"]
    return {
        "caddy": [line for name in authorities for line in (f" --> Let's Encrypt, {name}", "     certificates")],
        "voice-agent": [*guard, f" --> Bedrock, {bedrock}", f"     {settings.agent.bedrock_model}"],
    }


def _check_upstreams(settings: Settings, caddyfile: str) -> None:
    places = {_place(each) for each in listeners(settings)}
    told = [f"http://{address}" for address in re.findall(r"^\s*reverse_proxy (\S+)", caddyfile, re.MULTILINE)]
    asked = environments(settings)["voice-agent"]
    told += [asked[name] for name in ("LIVEKIT_URL", "TTS_URL", "GUARD_URL")]
    for url in told:
        address = urlsplit(url)
        if address.hostname == LOOPBACK and address.netloc not in places:
            raise UndrawnError(f"{url} is to be asked, where none of the services listens")


def _roles(settings: Settings, services: Mapping[str, Any]) -> dict[str, str]:
    """Service -> what it is for, with the model that it mounts."""
    calls, device = sessions(settings.plan), "the card" if settings.plan.whisper_device == "cuda" else "the CPU"
    words = {"calls": "1 call" if calls == 1 else f"{calls} calls", "device": device}
    mounts = {
        service: name
        for name in settings.models
        for service, each in services.items()
        if any(volume.startswith(f"{settings.model_path(name)}:") for volume in each["volumes"])
    }
    return {name: ROLES[name].format(model=mounts.get(name, ""), **words) for name in services}


def _box(name: str, texts: Iterable[str], beside: list[str], width: int) -> list[str]:
    rows = [row for text in texts for row in textwrap.wrap(text, width - 4, break_on_hyphens=False)]
    rows += [""] * (len(beside) - len(rows))
    inside = [f"| {row:<{width - 4}} |{line}" for row, line in zip_longest(rows, beside, fillvalue="")]
    return [f"+- {name} {'-' * (width - len(name) - 5)}+", *inside, f"+{'-' * (width - 2)}+"]


def _card(index: int, plan: CardPlan) -> list[str]:
    parts = []
    for process in plan.processes:
        cache = process.need.kv_cache
        parts.append((LOOKS[process.name][0], process.need.peak - cache))
        parts += [("KV cache", cache)] if cache else []
    shown = " | ".join(f"{what} {size / GIB:.2f}" for what, size in (*parts, ("free", plan.free)))
    return [f"GPU {index}: {plan.card.name}, {gib(plan.card.usable)}", f"[ {shown} ]"]


def _disks(settings: Settings, volumes: Iterable[str]) -> list[str]:
    models, images = [], pinned_image_place(settings)
    for name, model in settings.models.items():
        size = sum(pin.size or 0 for pin in model.files.values())
        models.append(f"{name} {size / 1e9:.1f} GB" if size else name)
    lies = {
        "/": f"{HOME}: files, secrets, the last {settings.releases.keep} releases; {STATE}: certificates; "
        "/var/log/voice: who ran what",
        DOCKERS: f"{'images; ' if images == DOCKERS else ''}volumes {', '.join(volumes)}",
        CONTAINERDS: "images",
        settings.weights.directory: f"{', '.join(models)}; what is fetched (.staging) or was replaced (.replaced)",
    }
    needs = disk_needs(settings, images)
    lines, wide = [], max(map(len, needs))
    for path, need in needs.items():
        head = f"{INDENT}{path:<{wide}}  {need:>3g} GiB  "
        lines += textwrap.wrap(
            head + lies[path], WIDTH, subsequent_indent=" " * len(head), break_on_hyphens=False, drop_whitespace=True
        )
    return lines
