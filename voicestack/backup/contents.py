"""Whether the files of a backup are whole and fit each other, and what they are in words. Pure.

Caddy writes while a backup is made, the key of a certificate before the certificate: a key that does not fit shows
that the two were read between its writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import PurePosixPath

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from pydantic import SecretStr

from voicestack.backup.places import AGENT_ENV, CADDYS_DATA, LIVEKIT_ENV
from voicestack.secrets.run import AGENT_PAIR, LIVEKIT_PAIR, SECRETS, KeyPair

_IN_FILE = {
    LIVEKIT_ENV: dict(zip(("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"), LIVEKIT_PAIR, strict=True)),
    AGENT_ENV: dict(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), AGENT_PAIR, strict=True)),
}
"""Env file -> the names in it -> the secrets that they are, as keys.sh writes them."""

Files = Mapping[str, bytes]


class ContentsError(ValueError):
    """A file of a backup cannot be used; the message repeats no content."""


def pair(files: Files, path: str) -> KeyPair | None:
    """The key pair in the env file `path`; None if there is none.

    Raises:
        ContentsError: the file is not as keys.sh writes it.
    """
    if path not in files:
        return None
    lines = files[path].decode("utf-8", errors="replace").splitlines()
    values = dict(line.partition("=")[::2] for line in lines)
    names = _IN_FILE[path]
    if list(values) != list(names) or len(lines) != len(names):
        raise ContentsError(f"/{path}: must have the lines {', '.join(f'{name}=...' for name in names)} alone")
    for name, secret in names.items():
        if not SECRETS[secret].shape.fullmatch(values[name]):
            raise ContentsError(f"/{path}: {name} must be {SECRETS[secret].must_be}")
    return KeyPair(*(SecretStr(values[name]) for name in names))


def unusable_pairs(files: Files) -> list[str]:
    """A line for each key pair that is missing or not as keys.sh writes it."""
    problems = [] if LIVEKIT_ENV in files else [f"/{LIVEKIT_ENV}: missing, there is no LiveKit key pair"]
    for path in _IN_FILE:
        try:
            pair(files, path)
        except ContentsError as error:
            problems.append(str(error))
    return problems


def torn(files: Files) -> list[str]:
    """A line for each of Caddy's files that is not whole, or does not fit the one that it belongs to."""
    problems = [f"/{path}: not whole" for path, content in files.items() if not _is_whole(path, content)]
    return problems or [f"/{path}: its key is missing or another one's" for path in _without_their_key(files)]


def _is_whole(path: str, content: bytes) -> bool:
    readers: dict[str, Callable[[bytes], object]] = {
        ".json": json.loads,
        ".key": _public_part,
        ".crt": x509.load_pem_x509_certificates,
    }
    try:
        readers.get(PurePosixPath(path).suffix, len)(content)
    except (ValueError, TypeError):
        return False
    return True


def summary(files: Files) -> list[str]:
    """What a backup is, a line for each thing."""
    lines = ["LiveKit's key pair", *(["the agent's key pair for AWS"] if AGENT_ENV in files else [])]
    if not any("/certificates/" in path for path in files):
        lines.append("no certificate of a site; Caddy gets one")
    for path in sorted(files):
        name = PurePosixPath(path)
        if path.startswith(f"{CADDYS_DATA}/acme/") and name.suffix == ".key":
            lines.append(f"the account with {name.parts[-4]}")
        elif name.suffix == ".crt":
            issuer = name.parts[-3 if "/certificates/" in path else -2]
            ends = _first(files[path]).not_valid_after_utc
            lines.append(f"the certificate {name.stem} of {issuer}, good until {ends:%Y-%m-%d %H:%M} UTC")
    return lines


def ended(files: Files, now: datetime) -> list[str]:
    """The sites' certificates that have ended, each with its key and Caddy's note of it: Caddy gets new ones."""
    certificates = [path for path in files if "/certificates/" in path and path.endswith(".crt")]
    stems = [path.removesuffix(".crt") for path in certificates if _first(files[path]).not_valid_after_utc <= now]
    return sorted(path for path in files if path.rpartition(".")[0] in stems)


def _first(chain: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificates(chain)[0]


def _public_part(key: bytes) -> bytes:
    public = load_pem_private_key(key, password=None).public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _without_their_key(files: Files) -> Iterator[str]:
    """The certificates whose key is another one; an authority's may be kept elsewhere, a site's may not."""
    for path in files:
        if not path.endswith(".crt"):
            continue
        key = files.get(f"{path.removesuffix('.crt')}.key")
        if key is None:
            if "/certificates/" in path:
                yield path
            continue
        certified = _first(files[path]).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if certified != _public_part(key):
            yield path
