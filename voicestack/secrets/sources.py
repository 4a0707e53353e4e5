"""Where a run's secrets come from, in this order: environment, .env, SSM Parameter Store, Secrets Manager."""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import SecretStr

from voicestack.paths import ROOT
from voicestack.secrets import stores
from voicestack.secrets.dotenv import parse, suggestion
from voicestack.settings import residency

FILE = "VOICE_SECRETS_FILE"
"""Another file than .env beside config.py; empty: none."""

SSM = "VOICE_SECRETS_SSM"
MANAGER = "VOICE_SECRETS_MANAGER"
REGION = "VOICE_SECRETS_REGION"
ROLE_ARN = "VOICE_ROLE_ARN"


class Found(NamedTuple):
    """A secret, the store it comes from, and the place in it for messages."""

    name: str
    value: SecretStr
    store: str
    place: str = ""

    @property
    def source(self) -> str:
        """Store and place."""
        return f"{self.store}{self.place}"


Gathered = tuple[list[Found], list[str]]


def gather(environment: Mapping[str, str], known: Sequence[str], allowed_regions: Sequence[Sequence[str]]) -> Gathered:
    """Every secret of every source, the first source first, and a line for each problem.

    Args:
        environment: the process's; it also says which file and stores there are.
        known: the names of secrets.
        allowed_regions: of each host; a store's region must be allowed by all; without any, none is asked.
    """
    found = [Found(name, SecretStr(environment[name]), "the environment") for name in known if environment.get(name)]
    problems: list[str] = []
    for more, wrong in (_file(environment, known), _stores(environment, known, allowed_regions)):
        found += more
        problems += wrong
    return found, problems


def _file(environment: Mapping[str, str], known: Sequence[str]) -> Gathered:
    named = environment.get(FILE)
    if named == "":
        return [], []
    path = Path(named) if named else ROOT / ".env"
    shown = named or ".env"
    if not path.is_file():
        return [], [f"{FILE}: {shown} is not a file"] if named else []
    problems = []
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        problems.append(f"{shown}: others than you may read or write it; chmod 600 {path}")
    entries, mistakes = parse(path.read_bytes(), known)
    found = [Found(each.name, SecretStr(each.value), shown, f" line {each.line}") for each in entries]
    return found, problems + [f"{shown} {mistake}" for mistake in mistakes]


def _stores(environment: Mapping[str, str], known: Sequence[str], allowed_regions: Sequence[Sequence[str]]) -> Gathered:
    path, name = environment.get(SSM, ""), environment.get(MANAGER, "")
    if not (path or name):
        return [], []
    region = environment.get(REGION, "")
    problems = [f"{SSM}: {path!r} must begin with /"] if path and not path.startswith("/") else []
    if not region:
        problems.append(f"{REGION}: not set; name the region of {' and '.join(each for each in (path, name) if each)}")
    if problems or not allowed_regions:
        return [], problems
    for allowed in allowed_regions:
        if outside := residency.region(REGION, region, allowed):
            return [], outside
    found: list[Found] = []
    asked: list[tuple[str, str, Callable[..., dict[str, str]]]] = [
        ("SSM Parameter Store", path, stores.parameters),
        ("Secrets Manager", name, stores.secret),
    ]
    for store, place, ask in asked:
        if not place:
            continue
        label = f"{store} {place}"
        try:
            values = ask(place, region=region, role_arn=environment.get(ROLE_ARN, "").strip())
        except stores.StoreError as error:
            problems.append(str(error))
            continue
        found += [Found(name, SecretStr(value), label) for name, value in values.items() if name in known]
        problems += [f"{label}: {name} is not known{suggestion(name, known)}" for name in values if name not in known]
    return found, problems
