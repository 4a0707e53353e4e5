"""The stack's operations: keys, images, files, start, restart. Each does nothing when nothing differs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr
from pyinfra.api.command import StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation
from pyinfra.context import host

from on_host import language_model
from voicestack.bundle import bundle
from voicestack.images import Build
from voicestack.paths import HOME, TOOLS
from voicestack.remote import File, Rows, Streamed, refuse, script, script_file, unpack
from voicestack.secrets.run import agent_keys, livekit_keys
from voicestack.settings.model import Settings
from voicestack.stack.render import HostFacts, render

STAGED = f"{HOME}/.staged"
BUILD = f"{HOME}/.build"
PULLER = f"{HOME}/.pull"
STARTER = f"{HOME}/bin/start.py"
RUN_STARTER = script(f"python3 {STARTER}")
KEYS = Path(__file__).with_name("keys.sh")
NO_PAIR = SecretStr("")
"""The env file of an agent that has no key pair."""

NEVER_STARTED = {"the stack": "was never started"}


@dataclass(frozen=True)
class StackState:
    """What the stack's home holds: sha256, mode and uid of its files, images at hand, sha256 of the pairs' env files.

    A pair's is empty where there is none, or no whole one.
    """

    files: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    images: frozenset[str] = frozenset()
    keys_digest: str = ""
    agent_keys_digest: str = ""


class Stack(FactBase[StackState]):
    """The stack's home, in one ssh execution."""

    default = StackState

    def command(self, files: str = "", images: str = "") -> str:
        """The script with its lists."""
        return script_file(__file__, "state.sh", HOME, files, images, KEYS.read_text(encoding="utf-8"))

    def process(self, output: list[str]) -> StackState:
        """Parse the script's lines."""
        rows = Rows(output)
        return StackState(
            files={path: (digest, mode) for path, digest, mode in rows.all("file")},
            images=frozenset(rows.each("image")),
            keys_digest=rows.one("keys"),
            agent_keys_digest=rows.one("agent_keys"),
        )


class Differences(FactBase[dict[str, str]]):
    """Service -> why its container is not as wanted; start.py on the host compares."""

    def command(self) -> str:
        """Ask start.py, if it is there."""
        return script(f"[ ! -e {STARTER} ] || python3 {STARTER} --check")

    def process(self, output: list[str]) -> dict[str, str]:
        """The JSON object on the last line."""
        return dict(json.loads(output[-1]))

    def default(self) -> dict[str, str]:  # type: ignore[override]
        """A host where nothing was started yet."""
        return NEVER_STARTED


class Asked(FactBase[str]):
    """Why Bedrock gave the agent no token, "" when it did; in one ssh execution, and for the price of that token."""

    def command(self) -> str:
        """The script."""
        return script_file(__file__, "bedrock.sh", HOME, TOOLS.read_text(encoding="utf-8"))

    def process(self, output: list[str]) -> str:
        """The JSON object on the last line."""
        return str(json.loads(output[-1])["kind"])

    def default(self) -> str:  # type: ignore[override]
        """No agent to ask with, or it said nothing."""
        return language_model.UNASKED


def install(settings: Settings, public_address: str) -> None:
    """From a host with Docker and weights to healthy services."""
    images = settings.image
    agent, tools = settings.agent_build, settings.tools_build
    facts = HostFacts(public_address=public_address, agent_image=agent.name)
    keys(
        name="Keep the key pairs: LiveKit's (imported, or made once), the agent's for AWS (if any)",
        keep_agents=settings.agent.aws_keys == "keep",
    )
    pull(
        name="Pull the images",
        images=(images.livekit, images.caddy, images.vllm_voxtral, images.vllm_guard, images.agent_base),
    )
    index = settings.pypi.index_url
    pip = {"PIP_INDEX_URL": index, "PIP_TRUSTED_HOST": _host_without_tls(index)}
    build(name=f"Build the agent's image ({agent.name})", what=agent, beside=pip)
    if tools != agent:
        build(name=f"Build the image that asks Bedrock and verifies ({tools.name})", what=tools, beside=pip)
    if settings.talk.enabled:
        build(
            name=f"Build Caddy's image with the page to talk from ({settings.caddy_build.name})",
            what=settings.caddy_build,
            beside={"PYTHON_IMAGE": images.agent_base, "CLIENT_URL": settings.talk.client_url},
        )
    configure(
        name=f"Write the stack's files to {HOME}",
        files=render(settings, facts),
        readers=(settings.caddy_image, images.livekit),
    )
    start(name="Start the services in order, each when those before it are healthy")
    answer(
        name="Ask Bedrock for one token, from the agent's container",
        model=settings.agent.bedrock_model,
        region=settings.site.region,
    )


@operation()
def keys(keep_agents: bool) -> Generator[StringCommand, None, None]:
    """LiveKit's key pair is on the host: the run's own if it brings one, else the host's, else a new one.

    Args:
        keep_agents: the agent's key pair for AWS is the run's, else the host's, else none; False: none.
    """
    livekit, agent = livekit_keys(), agent_keys() if keep_agents else NO_PAIR
    if has_pairs(host.get_fact(Stack), livekit, agent):
        host.noop("the host has its key pairs")
        return
    yield put_pairs(livekit, agent)


@operation()
def pull(images: tuple[str, ...]) -> Generator[StringCommand, None, None]:
    """The images are on the host."""
    wanted = tuple(dict.fromkeys(images))
    present = host.get_fact(Stack, images=" ".join(wanted)).images
    missing = [image for image in wanted if image not in present]
    if not missing:
        host.noop(f"{len(wanted)} images are at hand")
        return
    yield unpack(bundle("start"), PULLER)
    yield Streamed(script_file(__file__, "pull.sh", PULLER, *missing))


@operation()
def build(what: Build, beside: Mapping[str, str]) -> Generator[StringCommand, None, None]:
    """An image is on the host; its tag names its content, so a present tag is the wanted image.

    Args:
        what: the image.
        beside: arguments that say where from, and change nothing in it.
    """
    if what.name in host.get_fact(Stack, images=what.name).images:
        host.noop(f"{what.name} is at hand")
        return
    yield unpack(what.files, BUILD)
    given = (f"{name}={value}" for name, value in {**what.arguments, **beside}.items())
    yield Streamed(script_file(__file__, "build.sh", BUILD, what.name, *given))


@operation()
def configure(files: Mapping[str, File], readers: tuple[str, ...]) -> Generator[StringCommand, None, None]:
    """The stack's files are on the host, each read by its reader before it replaced its predecessor."""
    state = host.get_fact(Stack, files=" ".join(files))
    changed = [path for path, file in files.items() if state.files.get(path) != _fingerprint(file)]
    if not changed:
        host.noop(f"{len(files)} files are as rendered")
        return
    host.log(f"changed: {', '.join(sorted(changed))}")
    yield unpack(files, STAGED)
    yield StringCommand(script_file(__file__, "place.sh", HOME, STAGED, " ".join(changed), " ".join(readers)))


@operation()
def start() -> Generator[StringCommand, None, None]:
    """Every service runs what the files say and is healthy; those that already do are not touched."""
    yield from _start(host.get_fact(Differences))


@operation()
def restart() -> Generator[StringCommand, None, None]:
    """As `start`, after another operation (give its `did_change` as `_if`); a host without the stack stays so."""
    if not host.state.is_executing:
        # The plan is made without `_if` and before that operation: there is nothing to ask the host yet. pyinfra
        # shows what is yielded here as a conditional change.
        yield Streamed(RUN_STARTER)
        return
    differing = host.get_fact(Differences)
    if differing == NEVER_STARTED:
        host.noop("the stack is not on this host")
        return
    yield from _start(differing)


@operation()
def answer(model: str, region: str) -> Generator[StringCommand, None, None]:
    """The language model answers the agent; a host where it does not fails in words, and what runs there goes on.

    Asked in every run, after the start: what ends a model or takes a right away changes nothing on the host.
    """
    if not host.state.is_executing:
        return
    kind = host.get_fact(Asked)
    if not kind:
        host.noop(f"{model} in {region} answers")
    elif language_model.answered(kind):
        host.log(language_model.told(kind, model, region))
    else:
        yield refuse(
            f"Bedrock does not answer the agent; {language_model.told(kind, model, region)}. All services are healthy "
            "and stay, but callers would hear the apology: mend this and run again"
        )


def _start(differing: dict[str, str]) -> Generator[StringCommand, None, None]:
    if not differing:
        host.noop("every service is healthy and as wanted")
        return
    yield Streamed(RUN_STARTER)


def _host_without_tls(url: str) -> str:
    """The host that pip shall trust without a certificate: the index's if it has no TLS, else ""."""
    parts = urlsplit(url)
    return parts.hostname or "" if parts.scheme == "http" else ""


def _fingerprint(file: File) -> tuple[str, str]:
    return hashlib.sha256(file.content).hexdigest(), f"{file.mode:o} {file.uid}"


def has_pairs(state: StackState, livekit: SecretStr | None, agent: SecretStr | None) -> bool:
    """Whether the host has the pairs with these env files; None: any will do, for the agent none as well."""
    return all(
        digest and (text is None or hashlib.sha256(text.get_secret_value().encode()).hexdigest() == digest)
        for digest, text in ((state.keys_digest, livekit), (state.agent_keys_digest, agent))
    )


def put_pairs(livekit: SecretStr | None, agent: SecretStr | None) -> StringCommand:
    """Have the host keep these pairs; None: its own, NO_PAIR: the agent has none."""
    texts = [text.get_secret_value() for text in (livekit, agent) if text is not None]
    verb = "none" if agent == NO_PAIR else "keep"
    return Streamed(script_file(__file__, KEYS.name, HOME, verb), _stdin="".join(texts))
