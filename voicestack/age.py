"""age's encryption, in memory: to public keys in the settings, back with an identity in a file of the operator's."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyrage


class AgeError(ValueError):
    """A key or a file cannot be used; the message says why and repeats no content."""


def recipient(text: str) -> Any:
    """The public key that `text` is: age1... or ssh-ed25519 ...

    Raises:
        AgeError: it is none.
    """
    for prefix, kind in (("age1", pyrage.x25519), ("ssh-ed25519 ", pyrage.ssh)):
        if text.startswith(prefix):
            try:
                return kind.Recipient.from_str(text)
            except pyrage.RecipientError as error:
                raise AgeError(f"no whole public key ({error}); copy it again") from None
    raise AgeError('must be a public key: "age1..." (age-keygen prints it) or "ssh-ed25519 ..."')


def encrypt(content: bytes, recipients: Sequence[str]) -> bytes:
    """`content` as an age file that each of `recipients` can read."""
    return bytes(pyrage.encrypt(content, [recipient(text) for text in recipients]))


def decrypt(content: bytes, identity: Path) -> bytes:
    """What is in the age file `content`; a cut or changed byte is noticed.

    Args:
        content: it.
        identity: a file of age's own identities, as age-keygen writes them, or an ssh-ed25519 private key; or a pipe.

    Raises:
        AgeError: the identity cannot be used, or not for this file.
        OSError: the identity cannot be read.
    """
    mode = identity.stat().st_mode
    if stat.S_ISREG(mode) and mode & 0o077:
        raise AgeError(f"others than you may read or write the identity; chmod 600 {identity}")
    given = identity.read_bytes()
    lines = [line.strip() for line in given.decode("utf-8", errors="replace").splitlines()]
    try:
        if given.startswith(b"-----BEGIN OPENSSH"):
            known = [pyrage.ssh.Identity.from_buffer(given)]
        else:
            known = [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
        return bytes(pyrage.decrypt(content, known))
    except pyrage.IdentityError:
        raise AgeError(
            f"{identity} is no identity: AGE-SECRET-KEY-1... lines, or an ssh-ed25519 key without a passphrase "
            "(one that is encrypted itself is read by AGE_IDENTITY_FILE=<(age -d FILE))"
        ) from None
    except pyrage.DecryptError as error:
        raise AgeError(f"cannot be decrypted with {identity} ({error})") from None
