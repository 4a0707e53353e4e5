"""What this clone would make of a host, as values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from voicestack.host.packages import PackageSet
from voicestack.host.platform import Platform
from voicestack.parts import stack_files, wanted_packages
from voicestack.paths import HOME
from voicestack.remote import File
from voicestack.settings.model import Settings


@dataclass(frozen=True)
class Service:
    """A container as compose.yml says; None: the image's own word."""

    image: str
    entrypoint: tuple[str, ...] | None
    command: tuple[str, ...] | None


@dataclass(frozen=True)
class Wanted:
    """Files by their absolute path, services by name, and apt's packages, holds and repositories as one set."""

    files: Mapping[str, File]
    services: Mapping[str, Service]
    packages: PackageSet


def wanted(settings: Settings, platform: Platform, public_address: str) -> Wanted:
    """Everything that a run of deploys/voice.py leaves on a host, but for weights and daemon.json, which is merged."""
    packages = wanted_packages(settings, platform)
    stack = stack_files(settings, public_address)
    system = {path: File(text.encode()) for path, text in packages.all_files.items()}
    return Wanted({**stack, **system}, services(stack[f"{HOME}/compose.yml"].content), packages)


def services(compose: bytes) -> dict[str, Service]:
    """The services of a compose.yml that templates/compose.yml.j2 made: lists of words, nothing to interpolate."""
    found = yaml.safe_load(compose)["services"]
    return {
        name: Service(each["image"], _words(each.get("entrypoint")), _words(each.get("command")))
        for name, each in found.items()
    }


def _words(value: list[object] | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(str(word) for word in value)
