"""The settings as one typed, frozen object, section by section, with what follows from them: computed once."""

from __future__ import annotations

from functools import cached_property

from voicestack import images
from voicestack.gpu.plan import MemoryPlan, make
from voicestack.images import Build
from voicestack.settings.catalog import Model
from voicestack.settings.commands import Audit, Backup, Gate, Launch, Releases, Restore, Rollback, Teardown
from voicestack.settings.host import Docker, Gpu, Nvidia, Preflight, Pypi, Site, Weights
from voicestack.settings.memory import wishes
from voicestack.settings.services import Agent, Caddy, Guard, Image, Livekit, Talk, Voxtral
from voicestack.settings.types import Section


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
    backup: Backup
    restore: Restore
    gate: Gate
    audit: Audit
    launch: Launch
    teardown: Teardown

    @property
    def models(self) -> dict[str, Model]:
        """The models this host uses, in the catalog's order; the catalog may know more."""
        used = {self.voxtral.model, self.agent.whisper_model, *([self.guard.model] if self.guard.is_here else [])}
        return {name: model for name, model in self.weights.catalog.items() if name in used}

    @cached_property
    def plan(self) -> MemoryPlan:
        """The card's memory, whether it fits or not."""
        return make(wishes(self.gpu, self.voxtral, self.guard, self.agent, self.weights.catalog))

    @cached_property
    def agent_build(self) -> Build:
        """What the agent's image is built from."""
        return images.agent(images.directory(self.agent.source), self.image.agent_base, self.plan.whisper_device)

    @cached_property
    def tools_build(self) -> Build:
        """This clone's own agent, which also asks Bedrock, verifies and mints links, whoever's takes the calls."""
        own = images.directory(self.agent.source) == images.OURS
        return self.agent_build if own else images.agent(images.OURS, self.image.agent_base, "cpu")

    @cached_property
    def caddy_build(self) -> Build:
        """What Caddy's image with the page to talk from is built from."""
        return images.caddy(self.image.caddy, self.talk.client_sha256)

    @property
    def caddy_image(self) -> str:
        """The image that Caddy runs: the vendor's, or with the page the one that the host builds."""
        return self.caddy_build.name if self.talk.enabled else self.image.caddy

    def model_path(self, name: str) -> str:
        """Where that model lies on the host and in the containers."""
        return f"{self.weights.directory}/{name}"


SECTIONS: dict[str, type[Section]] = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
}
KEYS = frozenset(f"{name}_{field}" for name, section in SECTIONS.items() for field in section.model_fields)
