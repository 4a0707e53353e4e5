"""What is in a backup: only who should reads it, and what is torn or no key pair is noticed."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.unit import archive
from tests.unit.archive import AUTHORITY, DOMAIN, RECIPIENT, SITE
from voicestack import age as encryption
from voicestack.age import DecryptionError, IdentityError
from voicestack.backup import contents
from voicestack.backup.bundle import pack
from voicestack.backup.places import AGENT_ENV, LIVEKIT_ENV


def test_encryption_and_back(tmp_path: Path) -> None:
    content = pack(archive.bundle())
    sealed = encryption.encrypt(content, [RECIPIENT])
    assert archive.LIVEKIT_SECRET.encode() not in sealed
    known = encryption.identities(archive.identity_file(tmp_path))
    assert encryption.decrypt(sealed, known) == content
    with pytest.raises(DecryptionError, match="to other keys than the identity's"):
        encryption.decrypt(sealed, [pyrage.x25519.Identity.generate()])
    for place in (100, 300, len(sealed) // 2, len(sealed) - 1):
        with pytest.raises(DecryptionError):
            encryption.decrypt(sealed[:place], known)
        with pytest.raises(DecryptionError):
            encryption.decrypt(sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :], known)
    with pytest.raises(DecryptionError, match="no age file"):
        encryption.decrypt(content, known)


def test_every_recipient_can_read_it() -> None:
    other = pyrage.x25519.Identity.generate()
    sealed = encryption.encrypt(b"x", [RECIPIENT, str(other.to_public())])
    assert [encryption.decrypt(sealed, [each]) for each in (archive.IDENTITY, other)] == [b"x", b"x"]


def test_an_ssh_key_reads_it_too(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    sealed = encryption.encrypt(b"x", [f"{public} somebody@example.org"])
    assert encryption.decrypt(sealed, encryption.identities(archive.identity_file(tmp_path, private))) == b"x"
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, BestAvailableEncryption(b"passphrase")).decode()
    with pytest.raises(IdentityError, match="without a passphrase"):
        encryption.identities(archive.identity_file(tmp_path, locked))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# nothing\n", "holds no identity"),
        ("AGE-SECRET-KEY-1NONSENSE\n", "holds no identity that works"),
        ("age-encryption.org/v1\n-> scrypt", "is itself encrypted; AGE_IDENTITY_FILE=<(age -d"),
        ("-----BEGIN AGE ENCRYPTED FILE-----\n", "is itself encrypted"),
        ("-----BEGIN OPENSSH PRIVATE" + " KEY-----\nnonsense\n", "holds no identity that works"),
    ],
)
def test_a_file_without_a_usable_identity_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(IdentityError, match=re.escape(said)):
        encryption.identities(archive.identity_file(tmp_path, text))


def test_an_identity_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = archive.identity_file(tmp_path)
    path.chmod(0o640)
    with pytest.raises(IdentityError, match=f"chmod 600 {path}"):
        encryption.identities(path)
    with pytest.raises(IdentityError, match="cannot be read: Is a directory"):
        encryption.identities(tmp_path)


def test_what_is_whole_has_no_fault() -> None:
    files = archive.files()
    assert contents.unusable_pairs(files) == contents.torn(files) == []
    shown = "\n".join(contents.summary(files))
    assert f"the certificate {DOMAIN} of local, good until 20" in shown
    assert "the account with acme-v02.api.letsencrypt.org-directory" in shown
    assert "the agent's key pair for AWS" in shown
    assert contents.summary({LIVEKIT_ENV: b""})[-1] == "no certificate of a site; Caddy gets one"


def test_a_sites_certificate_that_has_ended_is_of_no_use_an_authority_is() -> None:
    now = datetime.now(timezone.utc)
    assert contents.ended(archive.files(), now) == []
    later = contents.ended(archive.files(), now + timedelta(days=2))
    assert later == [f"{SITE}.crt", f"{SITE}.json", f"{SITE}.key"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({f"{SITE}.key": archive.certificate()[1]}, f"/{SITE}.crt: its key is missing or another one's"),
        ({f"{SITE}.crt": archive.certificate()[0]}, f"/{SITE}.crt: its key is missing or another one's"),
        ({f"{SITE}.key": None}, f"/{SITE}.crt: its key is missing or another one's"),
        ({f"{SITE}.crt": b"-----BEGIN CERT"}, f"/{SITE}.crt: not whole"),
        ({f"{SITE}.key": b""}, f"/{SITE}.key: not whole"),
        ({f"{SITE}.json": b'{"sans":'}, f"/{SITE}.json: not whole"),
        ({f"{AUTHORITY}.crt": archive.certificate()[0]}, f"/{AUTHORITY}.crt: its key is missing or another one's"),
    ],
)
def test_what_caddy_is_writing_is_torn(change: dict[str, bytes | None], fault: str) -> None:
    files = {path: content for path, content in {**archive.files(), **change}.items() if content is not None}
    assert contents.torn(files) == [fault]


def test_an_authoritys_key_may_be_kept_elsewhere() -> None:
    files = archive.files()
    del files[f"{AUTHORITY}.key"]
    assert contents.torn(files) == []


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        (LIVEKIT_ENV, None, "there is no LiveKit key pair"),
        (LIVEKIT_ENV, b"", "must have the lines LIVEKIT_API_KEY=..., LIVEKIT_API_SECRET=... alone"),
        (LIVEKIT_ENV, b"LIVEKIT_API_KEY=APIx\nLIVEKIT_API_SECRET=short\n", "LIVEKIT_API_SECRET must be at least 32"),
        (LIVEKIT_ENV, archive.files()[LIVEKIT_ENV] * 2, "must have the lines"),
        (AGENT_ENV, b"AWS_ACCESS_KEY_ID=x y\nAWS_SECRET_ACCESS_KEY=z\n", "AWS_ACCESS_KEY_ID must be AKIA"),
        (AGENT_ENV, b"\xff", "must have the lines AWS_ACCESS_KEY_ID=..., AWS_SECRET_ACCESS_KEY=... alone"),
    ],
    ids=range(6),
)
def test_a_key_pair_that_is_none_is_named(path: str, content: bytes | None, said: str) -> None:
    files = {name: data for name, data in {**archive.files(), path: content}.items() if data is not None}
    (problem,) = contents.unusable_pairs(files)
    assert said in problem
    assert "short" not in problem
