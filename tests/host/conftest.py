"""testinfra against any inventory, through pyinfra's own inventory and connections.

pytest tests/host --inventory inventories/prod.py [--host NAME] [--ssh-user USER]

Everything here reads; nothing on the host is changed.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyinfra_cli  # noqa: F401  # first: with it gevent patches ssl, which must be before boto3 takes from it
import pytest

from tests.host.through import handle
from tests.inventory import hosts_of, once_a_host
from voicestack.host.platform import Platform
from voicestack.paths import HOME
from voicestack.settings.load import parse
from voicestack.settings.model import Settings
from voicestack.stack.render import HostFacts, render


@dataclass
class Deployed:
    """A host after the deploy: testinfra's handle, the settings it was made with, what it says of itself."""

    name: str
    run: Any
    settings: Settings

    def output(self, command: str) -> str:
        """The stdout of a command that must succeed."""
        return str(self.run.check_output(command))

    @cached_property
    def platform(self) -> Platform:
        """Distribution, release and kernel, from /etc/os-release."""
        flavour = "$(uname -r | sed -E 's/^[0-9.]+-([0-9]+-)?//')"
        shell = f'. /etc/os-release; echo "$ID|${{VERSION_ID//./}}|$VERSION_CODENAME|$(uname -r)|{flavour}"'
        return Platform(*self.output(f"bash -c {shlex.quote(shell)}").split("|"))

    @cached_property
    def containers(self) -> dict[str, dict[str, Any]]:
        """Service -> `docker inspect`."""
        ids = self.output("docker ps -aq --filter label=com.docker.compose.project=voice").split()
        inspected = json.loads(self.output(f"docker inspect {' '.join(ids)}")) if ids else []
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in inspected}

    @cached_property
    def public_address(self) -> str:
        """The address callers' media goes to."""
        configured = self.settings.site.public_address
        if configured != "imds":
            return configured
        url = self.settings.site.imds_url
        token = f"$(curl -sfX PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' {url}/latest/api/token)"
        return self.output(f'curl -sf -H "X-aws-ec2-metadata-token: {token}" {url}/latest/meta-data/public-ipv4')

    @cached_property
    def files(self) -> dict[str, Any]:
        """Every file of the stack as this repository renders it, by its path on the host."""
        facts = HostFacts(self.public_address, self.settings.agent_build.name)
        return {f"{HOME}/{path}": file for path, file in render(self.settings, facts).items()}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test runs once for each voice host of the inventory."""
    once_a_host(metafunc, "deployed")


@pytest.fixture(scope="session")
def deployed(request: pytest.FixtureRequest) -> Deployed:
    """The host of that name, reached as the inventory says."""
    (host,) = [each for each in hosts_of(request.config) if each.name == request.param]
    return Deployed(host.name, handle(host), parse(host.data.dict()))
