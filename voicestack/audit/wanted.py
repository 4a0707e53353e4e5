"""What this clone would make of a host, as values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from voicestack.host.packages import PackageSet
from voicestack.host.platform import Platform
from voicestack.parts import stack_files, wanted_packages
from voicestack.paths import HOME
from voicestack.remote import File
from voicestack.settings.model import Settings


@dataclass(frozen=True)
class Wanted:
    """Files by their absolute path, compose.yml's services by name, apt's packages, holds and repositories as one set.

    templates/compose.yml.j2 makes lists of words of entrypoint and command, with nothing to interpolate.
    """

    files: Mapping[str, File]
    services: Mapping[str, Any]
    packages: PackageSet


def wanted(settings: Settings, platform: Platform, public_address: str) -> Wanted:
    """Everything that a run of deploys/voice.py leaves on a host, but for weights and daemon.json, which is merged."""
    packages = wanted_packages(settings, platform)
    stack = stack_files(settings, public_address)
    system = {path: File(text.encode()) for path, text in packages.all_files.items()}
    return Wanted({**stack, **system}, yaml.safe_load(stack[f"{HOME}/compose.yml"].content)["services"], packages)
