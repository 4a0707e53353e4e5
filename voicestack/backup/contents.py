"""What a backup holds: a note of whose it is, the key pairs, and of Caddy's data what took others to make. Pure.

A plain tar, so that `age -d FILE | tar x` reads it without this program. An allow-list of names, on both ways: what
Caddy makes by itself (locks, challenges, OCSP answers) is not saved, and a name that is not here is not restored.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Mapping
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from on_host import paths
from voicestack.paths import HOME, STATE
from voicestack.secrets.run import AGENT_PAIR, LIVEKIT_PAIR, is_pair

NOTE = "voice-backup.json"
LIVEKIT_ENV = f"{HOME}/{paths.LIVEKIT_ENV}".lstrip("/")
AGENT_ENV = f"{HOME}/{paths.AGENT_ENV}".lstrip("/")
CADDYS_DATA = f"{STATE}/caddy/data".lstrip("/")
"""/data in Caddy's container, which can write there. All paths are relative to the host's root, as tar keeps them."""

_NAME = r"[A-Za-z0-9_@-][A-Za-z0-9_@.-]*"  # what CertMagic leaves of a name, which is never "." or ".."
_BELONGS = re.compile(
    rf"{NOTE}|{LIVEKIT_ENV}|{AGENT_ENV}|{CADDYS_DATA}/caddy/(?:"
    rf"certificates/{_NAME}/{_NAME}/{_NAME}\.(?:crt|key|json)"
    rf"|acme/{_NAME}/users/{_NAME}/{_NAME}\.(?:key|json)"
    rf"|pki/authorities/{_NAME}/{_NAME}\.(?:crt|key))"
)

Files = Mapping[str, bytes]


def pack(files: Files) -> bytes:
    """A tar of `files`, each root's alone."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o600
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def members(archived: bytes) -> tuple[dict[str, bytes], list[str]]:
    """The plain files in a tar that a backup may hold, and the names of all else.

    Raises:
        ValueError: it is no whole tar.
    """
    files, others = {}, []
    try:
        with tarfile.open(fileobj=io.BytesIO(archived), mode="r:") as archive:
            for member in archive:
                reader = archive.extractfile(member) if member.isreg() and _BELONGS.fullmatch(member.name) else None
                if reader:
                    files[member.name] = reader.read()
                else:
                    others.append(member.name)
        if not archived.endswith(bytes(2 * tarfile.BLOCKSIZE)):  # tarfile reads one that ends between two files
            raise tarfile.ReadError
    except tarfile.TarError:
        raise ValueError("is no whole tar") from None
    return files, others


def unpack(archived: bytes) -> tuple[str, dict[str, bytes]]:
    """The domain and the files of a backup, all of it checked.

    Raises:
        ValueError: anything in it is not as it must be; the message repeats no content.
    """
    files, others = members(archived)
    try:
        domain = str(json.loads(files.pop(NOTE, b""))["domain"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"has no {NOTE} that names a domain: was it made by deploys/backup.py?") from None
    wrong = [f"{name!a} has no place in a backup" for name in others]
    if wrong := [*wrong, *problems(files)]:
        raise ValueError("; ".join(wrong))
    return domain, files


def problems(files: Files) -> list[str]:
    """A line for each file that is missing, not whole, or does not fit its key.

    Caddy may write while a backup is made, the key of a certificate before the certificate.
    """
    found = [] if LIVEKIT_ENV in files else [f"/{LIVEKIT_ENV}: missing, there is no LiveKit key pair"]
    for path in sorted(files):
        try:
            whole = _is_whole(path, files)
        except (ValueError, TypeError):
            whole = False
        if not whole:
            found.append(f"/{path}: not whole, or without its key")
    return found


def _is_whole(path: str, files: Files) -> bool:
    """Raises ValueError or TypeError for what its reader refuses."""
    content, (stem, _, kind) = files[path], path.rpartition(".")
    match kind:
        case "env":
            names = LIVEKIT_PAIR if path == LIVEKIT_ENV else AGENT_PAIR
            return is_pair(content.decode("ascii"), names)
        case "json":
            json.loads(content)
        case "key":
            load_pem_private_key(content, password=None)
        case "crt" if f"{stem}.key" in files or "/pki/" not in path:  # an authority's key may be kept elsewhere
            key = load_pem_private_key(files.get(f"{stem}.key", b""), password=None)
            return key.public_key() == _certificate(content).public_key()
        case "crt":
            _certificate(content)
    return True


def _certificate(chain: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificates(chain)[0]


def ended(files: Files, now: datetime) -> list[str]:
    """The sites' certificates that have ended, each with its key and Caddy's note of it: Caddy gets new ones."""
    certificates = [path for path in files if "/certificates/" in path and path.endswith(".crt")]
    stems = [path.removesuffix(".crt") for path in certificates if _certificate(files[path]).not_valid_after_utc <= now]
    return sorted(path for path in files if path.rpartition(".")[0] in stems)
