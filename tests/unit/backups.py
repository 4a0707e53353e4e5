"""What a host has that a backup saves, made here: key pairs, a certificate with its key, an authority, an account."""

from __future__ import annotations

import functools
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyrage
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from voicestack import age
from voicestack.backup.contents import AGENT_ENV, CADDYS_DATA, LIVEKIT_ENV, NOTE, pack

DOMAIN = "voice.example.org"
SITE = f"{CADDYS_DATA}/caddy/certificates/local/{DOMAIN}/{DOMAIN}"
AUTHORITY = f"{CADDYS_DATA}/caddy/pki/authorities/local/root"
ACCOUNT = f"{CADDYS_DATA}/caddy/acme/acme-v02.api.letsencrypt.org-directory/users/operator@example.org/operator"
LIVEKIT_SECRET = "plantedLivekit" * 3
AGENT_SECRET = "plantedAWSkey/" * 2 + "plantedAWS+2"
IDENTITY = pyrage.x25519.Identity.generate()
RECIPIENT = str(IDENTITY.to_public())


def certificate(name: str = DOMAIN, days: int = 1) -> tuple[bytes, bytes]:
    """A certificate of its own making, good for so many days (negative: ended so long ago), and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=90))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM), _pem(key)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


@functools.cache
def _made() -> dict[str, bytes]:
    site, site_key = certificate()
    root, root_key = certificate("root")
    return {
        LIVEKIT_ENV: f"LIVEKIT_API_KEY=APIplantedplanted\nLIVEKIT_API_SECRET={LIVEKIT_SECRET}\n".encode(),
        AGENT_ENV: f"AWS_ACCESS_KEY_ID=AKIA{'PLANTED9' * 2}\nAWS_SECRET_ACCESS_KEY={AGENT_SECRET}\n".encode(),
        f"{SITE}.crt": site,
        f"{SITE}.key": site_key,
        f"{SITE}.json": b'{"sans": ["voice.example.org"]}',
        f"{AUTHORITY}.crt": root,
        f"{AUTHORITY}.key": root_key,
        f"{ACCOUNT}.json": b"{}",
        f"{ACCOUNT}.key": certificate()[1],
    }


def files() -> dict[str, bytes]:
    """All of it, by path below the host's root; the same in a whole run of tests."""
    return dict(_made())


def private() -> list[str]:
    """What must be seen nowhere: secrets, and of each key a line of its middle."""
    keys = [content.decode().splitlines()[1] for path, content in files().items() if path.endswith(".key")]
    return [LIVEKIT_SECRET, AGENT_SECRET, *keys]


def write(root: Path, content: dict[str, bytes]) -> None:
    """Have `root` hold them, as Caddy and keys.sh write them: 0600, directories 0700."""
    for path, data in content.items():
        place = root / path
        for directory in reversed([each for each in place.parents if not each.exists()]):
            directory.mkdir(mode=0o700)
        place.write_bytes(data)
        place.chmod(0o600)


def backup(content: dict[str, bytes] | None = None, domain: str = DOMAIN) -> bytes:
    """The tar of a backup of `content`, or of all of it."""
    note = json.dumps({"domain": domain, "host": "i-1234567890abcdef0", "commit": "unknown"}).encode()
    return pack({NOTE: note, **(files() if content is None else content)})


def backup_file(directory: Path, archived: bytes | None = None) -> Path:
    """A file that has it, encrypted to RECIPIENT."""
    path = directory / "backup.tar.age"
    path.write_bytes(age.encrypt(backup() if archived is None else archived, [RECIPIENT]))
    return path


def identity_file(directory: Path, text: str = "") -> Path:
    """A file of identities, 0600, that holds IDENTITY as age-keygen writes it, or `text`."""
    path = directory / "identity.txt"
    path.write_text(text or f"# created: 2026-11-23T12:00:00Z\n# public key: {RECIPIENT}\n{IDENTITY}\n")
    path.chmod(0o600)
    return path
