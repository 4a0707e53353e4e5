"""What a first run needs beside what it has just been refused for, so that a newcomer meets one list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from voicestack.secrets import run as secrets
from voicestack.secrets import sources
from voicestack.secrets.run import SecretsError
from voicestack.settings.load import DOMAIN

CREDENTIALS = (
    "log in with `aws configure sso` and export AWS_PROFILE=..., or export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)
WEIGHTS = (
    "HF_TOKEN: not set; needed unless the weights are on the host already: export HF_TOKEN=hf_... of an account that "
    "may read the gated models (https://huggingface.co/settings/tokens)"
)
DNS = (
    "DNS, address: looked at on the host, before anything is changed: an A record must lead from VOICE_DOMAIN to its "
    "public address (site_public_address, which EC2 tells by itself)"
)


def listed(first: str, environment: Mapping[str, str], data: Mapping[str, Any]) -> str:
    """`first`, why EC2 gave no hosts, with what else `environment` and the settings lack; alone where that is nothing.

    Args:
        first: "what: why; the fix".
        environment: the process's.
        data: the settings that are known before any host is, flat.
    """
    domain = [] if data.get("site_domain") else [f"VOICE_DOMAIN: not set; {DOMAIN}"]
    rest = [*domain, *token(environment, data)]
    dns = [DNS] if rest else []
    return "\n".join(["the run cannot begin; nothing was changed:", *(f"  - {each}" for each in (first, *rest, *dns))])


def token(environment: Mapping[str, str], data: Mapping[str, Any]) -> list[str]:
    """What is wrong with the secrets that can be read without AWS, or else a line if HF_TOKEN may be missed."""
    try:
        found = secrets.read(environment, []).found
    except SecretsError as error:
        return [line.removeprefix("  - ") for line in str(error).splitlines()[1:]]
    elsewhere = environment.get(sources.SSM) or environment.get(sources.MANAGER) or data.get("weights_source")
    return [] if "HF_TOKEN" in found or elsewhere else [WEIGHTS]
