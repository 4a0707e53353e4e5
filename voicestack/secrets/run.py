"""The secrets a run may bring: what they look like, who reads them, and where this run's come from.

They are never data, arguments of operations or facts, or part of a log line; the process's environment and those of
its children get none that did not come from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic import SecretStr
from pyinfra.api.exceptions import PyinfraError

from voicestack.paths import ROOT
from voicestack.secrets.sources import Found, gather

SHORTEST_LIVEKIT_SECRET = 32
"""Characters; LiveKit only logs an error about shorter ones (facts: livekit-caddy-aws-nvidia.md, 1.1)."""


class SecretsError(PyinfraError):
    """Secrets are unusable; the message names variables, files and lines, never a value."""


class Secret(NamedTuple):
    """What a secret must look like, in a pattern and in words."""

    shape: re.Pattern[str]
    must_be: str


SECRETS = {
    "HF_TOKEN": Secret(re.compile(r"[A-Za-z0-9_.-]{8,}"), "at least 8 letters, digits, _ . or -"),
    "LIVEKIT_API_KEY": Secret(re.compile(r"[A-Za-z0-9_-]+"), "letters, digits, - and _"),
    "LIVEKIT_API_SECRET": Secret(
        re.compile(rf"(?=.{{{SHORTEST_LIVEKIT_SECRET},}})[A-Za-z0-9+/_-]+={{0,2}}"),
        f"at least {SHORTEST_LIVEKIT_SECRET} letters, digits, + / - or _, with = at the end alone",
    ),
    # Not AWS_ACCESS_KEY_ID: that is the operator's own, who may do more than ask Bedrock.
    "AGENT_AWS_ACCESS_KEY_ID": Secret(re.compile(r"AKIA[A-Z0-9]{16}"), "AKIA and 16 more capitals and digits"),
    "AGENT_AWS_SECRET_ACCESS_KEY": Secret(re.compile(r"[A-Za-z0-9+/]{40}"), "40 letters, digits, + or /"),
}
"""Every secret there is. HF_TOKEN is for no service: the fetcher of the weights has it on stdin while it runs."""

Names = tuple[str, str]
LIVEKIT_PAIR = ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
AGENT_PAIR = ("AGENT_AWS_ACCESS_KEY_ID", "AGENT_AWS_SECRET_ACCESS_KEY")

READERS: Mapping[str, Mapping[str, Names]] = {
    "livekit": {"livekit/keys.yaml": LIVEKIT_PAIR},
    "voice-agent": {"secrets/livekit.env": LIVEKIT_PAIR, "secrets/bedrock.env": AGENT_PAIR},
}
"""Service -> file below the stack's home -> the secrets in it: who reads what. keys.sh writes the files, root's alone.
A service that is not here reads none."""


class KeyPair(NamedTuple):
    """A key's name and what it signs with."""

    key: SecretStr
    secret: SecretStr

    def line(self) -> str:
        """As keys.sh reads it: for stdin, and nothing else."""
        return f"{self.key.get_secret_value()} {self.secret.get_secret_value()}"


class RunSecrets(NamedTuple):
    """The secrets of this run, by name, each from the first source that has it."""

    found: Mapping[str, Found]

    def origin(self) -> str:
        """Which secret comes from where, in one line."""
        stores: dict[str, list[str]] = {}
        for name, each in self.found.items():
            stores.setdefault(each.store, []).append(name)
        return "; ".join(f"{', '.join(names)} from {store}" for store, names in stores.items()) or "none given"

    def pair(self, names: Names) -> KeyPair | None:
        """Both of them, or None; `read` refuses one without the other."""
        key, secret = (self.found.get(name) for name in names)
        return KeyPair(key.value, secret.value) if key and secret else None


def choose(found: Sequence[Found]) -> RunSecrets:
    """The first of each name in `found`. Pure."""
    first: dict[str, Found] = {}
    for each in found:
        first.setdefault(each.name, each)
    return RunSecrets(first)


def misshapen(secrets: RunSecrets) -> list[str]:
    """A line for each secret that does not look as it must. Pure."""
    return [
        f"{name} from {each.source}: must be {SECRETS[name].must_be}"
        for name, each in secrets.found.items()
        if not SECRETS[name].shape.fullmatch(each.value.get_secret_value())
    ]


def torn(secrets: RunSecrets) -> list[str]:
    """A line for each pair that is not whole from one source. Pure."""
    problems = []
    for pair in (LIVEKIT_PAIR, AGENT_PAIR):
        halves = [secrets.found.get(name) for name in pair]
        if len({half and half.store for half in halves}) > 1:
            said = [
                f"{name} from {half.source if half else 'nowhere'}" for name, half in zip(pair, halves, strict=True)
            ]
            problems.append(f"{', '.join(said)}: the two belong together and must come from one source")
    return problems


def read(environment: Mapping[str, str], allowed_regions: Sequence[Sequence[str]]) -> RunSecrets:
    """The secrets of a run that `environment` describes, all of them checked.

    Args:
        environment: the process's.
        allowed_regions: of each host of the run; AWS's stores are asked only in a region that all of them allow,
            and not at all where there are none.

    Raises:
        SecretsError: with a line for each problem in any source.
    """
    found, problems = gather(environment, tuple(SECRETS), allowed_regions)
    secrets = choose(found)
    # What an unreadable source would have given is not known: then nothing is said about what is missing.
    problems = [*problems, *misshapen(secrets), *([] if problems else torn(secrets))]
    if problems:
        count = "1 secret cannot be used" if len(problems) == 1 else f"{len(problems)} secrets cannot be used"
        raise SecretsError("\n".join([f"{count}; nothing was changed:", *(f"  - {each}" for each in problems)]))
    return secrets


class _Run:
    """This process's secrets: what `use` was given."""

    secrets: RunSecrets | None = None


def use(secrets: RunSecrets) -> None:
    """Make them this run's; checks.py does it before pyinfra connects."""
    _Run.secrets = secrets


def this_run() -> RunSecrets:
    """This run's secrets.

    Raises:
        SecretsError: if nobody has read them.
    """
    if _Run.secrets is None:
        raise SecretsError(f"config.py was not read: run pyinfra from the repository's root: cd {ROOT}")
    return _Run.secrets


def hub_token() -> str | None:
    """The Hugging Face token of this run; None when there is none."""
    token = this_run().found.get("HF_TOKEN")
    return token.value.get_secret_value() if token else None


def livekit_keys() -> KeyPair | None:
    """The LiveKit key pair to import; None: the host's own is kept."""
    return this_run().pair(LIVEKIT_PAIR)


def agent_keys() -> KeyPair | None:
    """The agent's key pair for Bedrock, for a host without an instance role; None: the host's own is kept."""
    return this_run().pair(AGENT_PAIR)


def env_files(service: str) -> list[str]:
    """The files with secrets that become part of a service's environment."""
    return [file for file in READERS.get(service, {}) if file.endswith(".env")]
