"""Where a run's secrets come from, in this order: environment, .env, SSM Parameter Store."""

from __future__ import annotations

import logging
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from botocore.config import Config
from pydantic import SecretStr

from on_host.redaction import redact
from voicestack.aws import REFUSALS, account
from voicestack.paths import ROOT
from voicestack.secrets.dotenv import parse, suggestion
from voicestack.settings.contradictions import outside

FILE = "VOICE_SECRETS_FILE"
"""Another file than .env beside config.py; empty: none."""

SSM = "VOICE_SECRETS_SSM"
REGION = "VOICE_SECRETS_REGION"
MANAGER = "VOICE_SECRETS_MANAGER"
"""What older versions asked too; who still sets it must not be left without his secrets in silence."""


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
    """Every secret with a `known` name of every source, the first source first, and a line for each problem."""
    found = [Found(name, SecretStr(environment[name]), "the environment") for name in known if environment.get(name)]
    problems: list[str] = []
    for more, wrong in (_file(environment, known), _parameters(environment, known, allowed_regions)):
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
    entries, mistakes = parse(path.read_bytes(), known)
    problems = [f"{shown} {mistake}" for mistake in mistakes]
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        problems.insert(0, f"{shown}: others than you may read or write it; chmod 600 {path}")
    return [Found(each.name, SecretStr(each.value), shown, f" line {each.line}") for each in entries], problems


def _parameters(
    environment: Mapping[str, str], known: Sequence[str], allowed_regions: Sequence[Sequence[str]]
) -> Gathered:
    path, region = environment.get(SSM, ""), environment.get(REGION, "")
    problems = []
    if environment.get(MANAGER):
        problems.append(f"{MANAGER}: Secrets Manager is not asked any more; put them into SSM, whose path is in {SSM}")
    if path and not path.startswith("/"):
        problems.append(f"{SSM}: {path!r} must begin with /")
    if path and not region:
        problems.append(f"{REGION}: not set; name the region of {path}")
    if problems or not (path and allowed_regions):
        return [], problems
    for allowed in allowed_regions:
        if refused := outside(REGION, region, allowed):
            return [], refused
    label = f"SSM Parameter Store {path}"
    try:
        values = parameters(path, region, environment.get("VOICE_ROLE_ARN", "").strip())
    except ValueError as error:
        return [], [str(error)]
    problems = [f"{label}: {name} is not known{suggestion(name, known)}" for name in values if name not in known]
    return [Found(name, SecretStr(value), label) for name, value in values.items() if name in known], problems


def parameters(path: str, region: str, role_arn: str = "") -> dict[str, str]:
    """Name -> value of the parameters directly below `path` ("/voice/prod/HF_TOKEN" is HF_TOKEN), decrypted.

    Raises:
        ValueError: SSM cannot be asked, has nothing there, or keeps one of them in clear text; it names no value.
    """
    # botocore logs the body of every answer at DEBUG, which `pyinfra --debug-all` prints.
    logging.getLogger("botocore").setLevel(logging.INFO)
    where = f"SSM Parameter Store in {region}"
    try:
        # An endpoint of somebody's configuration could lie in any region.
        client = account(region, role_arn).client("ssm", Config(ignore_configured_endpoint_urls=True))
        pages = client.get_paginator("get_parameters_by_path").paginate(Path=path, WithDecryption=True)
        found = [each for page in pages for each in page["Parameters"]]
    except REFUSALS as error:
        # AWS's own words name accounts and users.
        needs = "needs ssm:GetParametersByPath, kms:Decrypt"
        raise ValueError(f"{where} cannot be asked ({needs}): {redact(str(error))}") from None
    if not found:
        raise ValueError(f"{where} has no parameter directly below {path}")
    if clear := sorted(each["Name"] for each in found if each["Type"] != "SecureString"):
        raise ValueError(f"SSM parameters that are not of type SecureString: {', '.join(clear)}")
    return {each["Name"].rpartition("/")[2]: each["Value"] for each in found}
