"""A link with a token in it: minted on the host, printed for the person who asked, kept nowhere.

Minting changes nothing on the host, so it is a fact: no question is asked and no change is counted. The token is in
no argument; it comes back on the command's stdout, which pyinfra shows with -vvv alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timezone

import click
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.facts import FactBase
from pyinfra.api.host import Host

from voicestack.paths import HOME, TOOLS
from voicestack.remote import script_file
from voicestack.settings.model import Settings


class InvitationError(PyinfraError):
    """There is no link for this host; the message says why and what to do."""


@dataclass(frozen=True)
class Invitation:
    """A caller's token and the moment (seconds since the epoch) it can be used to; or why there is none."""

    token: str = field(default="", repr=False)
    expires_at: int = 0
    problem: str = ""


class Minted(FactBase[Invitation]):
    """A new token, in one ssh execution."""

    def command(self, minutes: int) -> str:
        """The script with its argument."""
        return script_file(__file__, "invite.sh", str(minutes), HOME, TOOLS.read_text(encoding="utf-8"))

    def process(self, output: list[str]) -> Invitation:
        """The JSON object on the last line."""
        return Invitation(**json.loads(output[-1]))

    def default(self) -> Invitation:  # type: ignore[override]
        """A host that did not answer."""
        return Invitation(problem="the host did not answer (see the output above)")


def show(host: Host, settings: Settings) -> None:
    """Print a link to this host's page.

    Raises:
        InvitationError: the page is off, or the host cannot mint a token.
    """
    if not settings.talk.enabled:
        raise InvitationError(
            f"{host.name}: talk_enabled is off; set it to True in group_data, run deploys/voice.py, then this again"
        )
    minted = host.get_fact(Minted, minutes=settings.talk.token_minutes)
    if minted.problem:
        raise InvitationError(f"{host.name}: {minted.problem}")
    until = datetime.fromtimestamp(minted.expires_at, timezone.utc)
    # The token is in the fragment, which browsers send to nobody. Like pyinfra's own words it goes to stderr: stdout is
    # the document's with --json.
    click.echo(
        f"\n    https://{settings.site.domain}/talk/#{minted.token}\n\n"
        f"    Can be used to join until {until:%H:%M} UTC ({until:%Y-%m-%d}); a call goes on after that.\n"
        "    For one person: a second browser with the same link takes the call over.\n",
        err=True,
    )
