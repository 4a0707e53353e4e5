"""The one key that signs every package repository of the lab, made once and kept in the cache."""

from __future__ import annotations

from pathlib import Path

from tests.lab.console import run
from tests.lab.disk import make_whole
from tests.lab.places import CACHE

_OWNER = "Voice lab package repositories <lab@voice-lab.invalid>"


def _gpg(home: Path, *arguments: str | Path, input_text: str | None = None) -> str:
    """Run gpg in a home of its own, and leave no agent behind."""
    try:
        options = ("--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "")
        return run("gpg", *options, *arguments, input_text=input_text)
    finally:
        run("gpgconf", "--homedir", home, "--kill", "all")


def _make_key(home: Path) -> None:
    home.mkdir(mode=0o700, parents=True)
    _gpg(home, "--quick-generate-key", _OWNER, "rsa3072", "sign", "never")


def _home() -> Path:
    return make_whole(CACHE / "apt-signing-key", _make_key, what="signing key of the package repositories")


def public_key() -> str:
    """The public half, ASCII armoured as vendors publish theirs."""
    return _gpg(_home(), "--armor", "--export")


def fingerprint() -> str:
    """The key's fingerprint: 40 hexadecimal digits."""
    listing = _gpg(_home(), "--with-colons", "--list-keys")
    return next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:"))


def sign(text: str) -> str:
    """The text with its signature around it: an InRelease file."""
    return _gpg(_home(), "--clearsign", input_text=text)
