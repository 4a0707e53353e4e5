"""The secrets a run may bring: what they look like, who reads them, and which of them this run has.

They are never data, arguments of operations or facts, or part of a log line; the process's environment and those of
its children get none that did not come from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic import SecretStr
from pyinfra.api.exceptions import PyinfraError

from on_host.paths import AGENT_ENV, KEYS_YAML, LIVEKIT_ENV
from voicestack.paths import ROOT
from voicestack.secrets.sources import Found, gather


class SecretsError(PyinfraError):
    """Secrets are unusable; the message names variables, files and lines, never a value."""


SECRETS = {
    "HF_TOKEN": (r"[A-Za-z0-9_.-]{8,}", "at least 8 letters, digits, _ . or -"),
    "LIVEKIT_API_KEY": (r"[A-Za-z0-9_-]+", "letters, digits, - and _"),
    # LiveKit takes a shorter one and only logs an error.
    "LIVEKIT_API_SECRET": (
        r"(?=.{32,})[A-Za-z0-9+/_-]+={0,2}",
        "at least 32 letters, digits, + / - or _, with = at the end alone",
    ),
    # Not AWS_ACCESS_KEY_ID: that is the operator's own, who may do more than ask Bedrock.
    "AGENT_AWS_ACCESS_KEY_ID": (r"AKIA[A-Z0-9]{16}", "AKIA and 16 more capitals and digits"),
    "AGENT_AWS_SECRET_ACCESS_KEY": (r"[A-Za-z0-9+/]{40}", "40 letters, digits, + or /"),
}
"""Every secret there is: what it must look like, as a pattern and in words. HF_TOKEN is for no service: the fetcher of
the weights has it on stdin while it runs."""

Names = tuple[str, str]
LIVEKIT_PAIR = ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
AGENT_PAIR = ("AGENT_AWS_ACCESS_KEY_ID", "AGENT_AWS_SECRET_ACCESS_KEY")

READERS: Mapping[str, Mapping[str, Names]] = {
    "livekit": {KEYS_YAML: LIVEKIT_PAIR},
    "voice-agent": {LIVEKIT_ENV: LIVEKIT_PAIR, AGENT_ENV: AGENT_PAIR},
}
"""Service -> file below the stack's home -> the secrets in it: who reads what. keys.sh writes the files, root's alone.
A service that is not here reads none."""


class RunSecrets(NamedTuple):
    """The secrets of this run, by name, each from the first source that has it."""

    found: Mapping[str, Found]

    def origin(self) -> str:
        """Which secret comes from where, in one line."""
        stores: dict[str, list[str]] = {}
        for name, each in self.found.items():
            stores.setdefault(each.store, []).append(name)
        return "; ".join(f"{', '.join(names)} from {store}" for store, names in stores.items()) or "none given"

    def pair(self, names: Names) -> SecretStr | None:
        """Both of them as the text of their env file, or None; `read` refuses one without the other."""
        if not set(names) <= self.found.keys():
            return None
        return SecretStr(_env_file({name: self.found[name].value.get_secret_value() for name in names}))


def is_pair(text: str, names: Names) -> bool:
    """Whether `text` is the env file of a pair, with values that look as they must."""
    return re.fullmatch(_env_file({name: f"(?:{SECRETS[name][0]})" for name in names}), text) is not None


def _env_file(values: Mapping[str, str]) -> str:
    return "".join(f"{name.removeprefix('AGENT_')}={value}\n" for name, value in values.items())


def read(environment: Mapping[str, str], allowed_regions: Sequence[Sequence[str]]) -> RunSecrets:
    """The secrets of a run that `environment` describes, all of them checked.

    Args:
        environment: the process's.
        allowed_regions: of each host of the run; SSM is asked only in a region that all of them allow, and not at all
            where there are none.

    Raises:
        SecretsError: with a line for each problem in any source.
    """
    given, problems = gather(environment, tuple(SECRETS), allowed_regions)
    found: dict[str, Found] = {}
    for each in given:
        found.setdefault(each.name, each)
    # What an unreadable source would have given is not known: then nothing is said about what is missing.
    torn = [] if problems else [_torn({name: found.get(name) for name in pair}) for pair in (LIVEKIT_PAIR, AGENT_PAIR)]
    for name, each in found.items():
        shape, must_be = SECRETS[name]
        if not re.fullmatch(shape, each.value.get_secret_value()):
            problems.append(f"{name} from {each.source}: must be {must_be}")
    problems += filter(None, torn)
    if problems:
        count = "1 secret cannot be used" if len(problems) == 1 else f"{len(problems)} secrets cannot be used"
        lines = [f"{count}; nothing was changed:", *(f"  - {each}" for each in problems)]
        raise SecretsError("\n".join(lines))
    return RunSecrets(found)


def _torn(halves: Mapping[str, Found | None]) -> str:
    """What to say of a pair that is not whole from one source, or ""."""
    if len({half and half.store for half in halves.values()}) == 1:
        return ""
    said = ", ".join(f"{name} from {half.source if half else 'nowhere'}" for name, half in halves.items())
    return f"{said}: the two belong together and must come from one source"


_used: list[RunSecrets] = []
"""This process's."""


def use(secrets: RunSecrets) -> None:
    """Make them this run's, before pyinfra connects."""
    _used[:] = [secrets]


def this_run() -> RunSecrets:
    """This run's secrets.

    Raises:
        SecretsError: if nobody has read them.
    """
    if not _used:
        raise SecretsError(f"config.py was not read: run pyinfra from the repository's root: cd {ROOT}")
    return _used[0]


def hub_token() -> str | None:
    """The Hugging Face token of this run; None when there is none."""
    token = this_run().found.get("HF_TOKEN")
    return token.value.get_secret_value() if token else None


def livekit_keys() -> SecretStr | None:
    """The LiveKit key pair to import, as the text of its env file; None: the host's own is kept."""
    return this_run().pair(LIVEKIT_PAIR)


def agent_keys() -> SecretStr | None:
    """The agent's pair for Bedrock, for a host without an instance role, likewise; None: the host's own is kept."""
    return this_run().pair(AGENT_PAIR)


def env_files(service: str) -> list[str]:
    """The files with secrets that become part of a service's environment."""
    return [file for file in READERS.get(service, {}) if file.endswith(".env")]
