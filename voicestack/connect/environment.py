"""What the operator's environment says about where the hosts are (docs/hosts.md); none of it is in the repository."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pyinfra.api.exceptions import PyinfraError

CONNECTORS = {"instance-connect": "eic", "tunnel": "eic", "ssh": "ec2"}
"""VOICE_CONNECT's values, and the pyinfra connector that each means."""

_REGION = re.compile(r"[a-z]+(-[a-z]+)+-[0-9]+")

_SITE = {"site_domain": "VOICE_DOMAIN", "site_acme_email": "VOICE_ACME_EMAIL"}


class EnvironmentVariableError(PyinfraError):
    """A variable cannot be used; the message names it."""


@dataclass(frozen=True)
class Environment:
    """The variables that docs/hosts.md lists."""

    tags: str
    region: str
    role_arn: str
    connect: str
    endpoint: str
    known_hosts: Path
    ssh_from: tuple[str, ...]
    subnet: str
    site: Mapping[str, str]

    @property
    def inventory(self) -> str:
        """The pyinfra inventory that is meant, for example @eic/tag:Role=voice."""
        return f"@{CONNECTORS[self.connect]}/tag:{self.tags}"


def read(variables: Mapping[str, str] = os.environ) -> Environment:
    """The environment; a variable without anything but blanks counts as unset.

    Raises:
        EnvironmentVariableError: VOICE_CONNECT names no way to connect, or VOICE_REGION no region; or both.
    """

    def value(name: str, default: str = "") -> str:
        return variables.get(name, "").strip() or default

    connect, region = value("VOICE_CONNECT", "instance-connect"), value("VOICE_REGION", "eu-central-1")
    problems = []
    if connect not in CONNECTORS:
        problems.append(f"VOICE_CONNECT: {connect!r} must be one of {', '.join(CONNECTORS)}")
    if not _REGION.fullmatch(region):
        problems.append(f"VOICE_REGION: {region!r} is no region's name, such as eu-central-1")
    if problems:
        raise EnvironmentVariableError("\n".join(problems))
    return Environment(
        tags=value("VOICE_TAG", "Role=voice"),
        region=region,
        role_arn=value("VOICE_ROLE_ARN"),
        connect=connect,
        endpoint=value("VOICE_ENDPOINT"),
        known_hosts=Path(value("VOICE_KNOWN_HOSTS", "~/.ssh/voice_known_hosts")).expanduser(),
        ssh_from=tuple(each.strip() for each in value("VOICE_SSH_FROM").split(",") if each.strip()),
        subnet=value("VOICE_SUBNET"),
        site={key: value(name) for key, name in _SITE.items() if value(name)},
    )
