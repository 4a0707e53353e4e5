"""Secrets that AWS keeps: parameters below a path of SSM Parameter Store, or one JSON secret of Secrets Manager."""

from __future__ import annotations

import json
import logging
from typing import Any

from on_host.redaction import redact
from voicestack.aws import REFUSALS, account


class StoreError(Exception):
    """A store cannot be used; the message names the store and the cause, never a value."""


def parameters(path: str, *, region: str, role_arn: str = "") -> dict[str, str]:
    """Name -> value of the parameters directly below `path` ("/voice/prod/HF_TOKEN" is HF_TOKEN), decrypted.

    Raises:
        StoreError: if SSM cannot be asked, has nothing there, or keeps one of them in clear text.
    """
    try:
        pages = _client("ssm", region, role_arn).get_paginator("get_parameters_by_path")
        found = [each for page in pages.paginate(Path=path, WithDecryption=True) for each in page["Parameters"]]
    except REFUSALS as error:
        raise _unreachable(f"SSM Parameter Store in {region}", "ssm:GetParametersByPath, kms:Decrypt", error) from None
    if not found:
        raise StoreError(f"SSM Parameter Store in {region} has no parameter directly below {path}")
    clear = sorted(each["Name"] for each in found if each["Type"] != "SecureString")
    if clear:
        raise StoreError(f"SSM parameters that are not of type SecureString: {', '.join(clear)}")
    return {each["Name"].rpartition("/")[2]: each["Value"] for each in found}


def secret(name: str, *, region: str, role_arn: str = "") -> dict[str, str]:
    """Name -> value of one secret of Secrets Manager, a JSON object of strings.

    Raises:
        StoreError: if Secrets Manager cannot be asked, has no such secret, or the secret is something else.
    """
    try:
        answer = _client("secretsmanager", region, role_arn).get_secret_value(SecretId=name)
    except REFUSALS as error:
        raise _unreachable(f"Secrets Manager in {region}", "secretsmanager:GetSecretValue", error) from None
    try:
        return _strings(answer.get("SecretString", ""))
    except ValueError as error:
        # `from None`: a JSONDecodeError carries the document.
        raise StoreError(f"the secret {name} of Secrets Manager {error}") from None


def _strings(document: str) -> dict[str, str]:
    """A JSON object of strings, each name once.

    Raises:
        ValueError: if it is something else; without a word of the document.
    """
    try:
        pairs = json.loads(document, object_pairs_hook=tuple)
    except ValueError:
        raise ValueError("is not JSON; it must be an object of strings") from None
    if not isinstance(pairs, tuple) or not all(isinstance(value, str) for _, value in pairs):
        raise ValueError("must be a JSON object whose values are strings")
    if len(dict(pairs)) < len(pairs):
        raise ValueError("has a name twice")
    return dict(pairs)


def _client(service: str, region: str, role_arn: str) -> Any:
    # botocore logs the body of every answer at DEBUG, which `pyinfra --debug-all` prints.
    logging.getLogger("botocore").setLevel(logging.INFO)
    # An endpoint of somebody's configuration could lie in any region.
    return account(region, role_arn).client(service, configured_endpoint=False)


def _unreachable(store: str, needs: str, error: Exception) -> StoreError:
    """AWS's own words name accounts and users."""
    return StoreError(f"{store} cannot be asked (needs {needs}): {redact(str(error))}")
