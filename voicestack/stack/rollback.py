"""The operation behind deploys/rollback.py: another release of the host is put in place and brought up."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass, field

from pyinfra.api.command import StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation
from pyinfra.context import host

from on_host.start.releases import NoReleaseError, Release, choose
from voicestack.remote import Streamed, refuse, script
from voicestack.stack.operations import STARTER, Differences


@dataclass(frozen=True)
class Kept:
    """The releases that a host keeps, and the one in use."""

    releases: list[Release] = field(default_factory=list)
    current: Release | None = None


class Releases(FactBase[Kept]):
    """What start.py on the host lists."""

    default = Kept

    def command(self) -> str:
        """Ask start.py, if it is there."""
        return script(f"[ ! -e {STARTER} ] || python3 {STARTER} --releases")

    def process(self, output: list[str]) -> Kept:
        """The JSON object on the last line."""
        listing = json.loads(output[-1])
        releases = [Release(**each) for each in listing["releases"]]
        return Kept(releases, next((each for each in releases if each.number == listing["current"]), None))


@operation()
def go_back(to: int) -> Generator[StringCommand, None, None]:
    """The host runs the release `to` (0: the healthy one before the one in use); refused if there is none."""
    kept = host.get_fact(Releases)
    try:
        release = choose(kept.releases, kept.current, to)
    except NoReleaseError as error:
        yield refuse(str(error))
        return
    if kept.current == release and not host.get_fact(Differences):
        host.noop(f"release {release.number} is in use, every service is healthy")
        return
    host.log(f"release {release.number} of {release.made}; the next run of deploys/voice.py goes forward again")
    yield Streamed(script(f'python3 {STARTER} --back-to "$1"', str(release.number)))
