"""age's encryption, in memory: to public keys in the settings, back with an identity in a file of the operator's."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyrage

WRONG_KEY = "No matching keys found"
"""pyrage's words when a file is whole and for others."""


class RecipientError(ValueError):
    """It is no public key that a backup can be encrypted to."""


class IdentityError(ValueError):
    """A file of identities cannot be used; the message says why and repeats no content."""


class DecryptionError(ValueError):
    """A file cannot be decrypted; the message says why."""


def recipient(text: str) -> Any:
    """The public key that `text` is: age1... or ssh-ed25519 ...

    Raises:
        RecipientError: it is none.
    """
    readers = {"age1": pyrage.x25519.Recipient, "ssh-ed25519 ": pyrage.ssh.Recipient}
    for prefix, reader in readers.items():
        if text.startswith(prefix):
            try:
                return reader.from_str(text)
            except pyrage.RecipientError as error:
                raise RecipientError(f"no whole public key ({error}); copy it again") from None
    raise RecipientError('must be a public key: "age1..." (age-keygen prints it) or "ssh-ed25519 ..."')


def encrypt(content: bytes, recipients: Sequence[str]) -> bytes:
    """`content` as an age file that each of `recipients` can read."""
    return bytes(pyrage.encrypt(content, [recipient(text) for text in recipients]))


def identities(path: Path) -> list[Any]:
    """The identities in a file: age's own (as age-keygen writes them), or one ssh-ed25519 private key.

    A pipe will do: AGE_IDENTITY_FILE=<(age -d identity.age).

    Raises:
        IdentityError: it cannot be read, others may read it, or none is in it.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode) and stat.S_IMODE(mode) & 0o077:
            raise IdentityError(f"others than you may read or write it; chmod 600 {path}")
        content = path.read_bytes()
    except OSError as error:
        raise IdentityError(f"cannot be read: {error.strerror}") from None
    try:
        return _parsed(content)
    except (pyrage.IdentityError, UnicodeDecodeError):
        raise IdentityError(
            "holds no identity that works: AGE-SECRET-KEY-1... lines, or an ssh-ed25519 key without a passphrase"
        ) from None


def _parsed(content: bytes) -> list[Any]:
    if content.startswith((b"age-encryption.org/", b"-----BEGIN AGE ")):
        raise IdentityError("is itself encrypted; AGE_IDENTITY_FILE=<(age -d THE_FILE) reads it, off the disk")
    if content.startswith(b"-----BEGIN "):
        return [pyrage.ssh.Identity.from_buffer(content)]
    lines = [line.strip() for line in content.decode("utf-8").splitlines()]
    found = [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    if not found:
        raise IdentityError("holds no identity; age-keygen writes one as a line AGE-SECRET-KEY-1...")
    return found


def decrypt(content: bytes, known: Sequence[Any]) -> bytes:
    """What is in the age file `content`.

    Raises:
        DecryptionError: it is for other identities, cut, damaged, or no age file.
    """
    if not content.startswith(b"age-encryption.org/"):
        raise DecryptionError("is no age file")
    try:
        return bytes(pyrage.decrypt(content, list(known)))
    except pyrage.DecryptError as error:
        if str(error) == WRONG_KEY:
            raise DecryptionError("is encrypted to other keys than the identity's") from None
        raise DecryptionError(f"is cut or damaged ({error})") from None
