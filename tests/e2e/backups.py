"""Backups of lab hosts, and what must be the same after one was restored."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

import pyrage

from tests.e2e.conftest import LabHost, Run
from tests.lab.places import DESCRIPTION

DOMAIN = "voice.lab.example.org"
CADDYS_DATA = "/var/lib/voice/caddy/data/caddy"


@dataclass(frozen=True)
class Keeper:
    """Who keeps the backups: a directory on the controller, the identity that reads them, its public key."""

    directory: Path
    identity: Path
    recipient: str

    def backup(self, host: LabHost, *options: str) -> tuple[Run, Path]:
        """A backup of `host` by the operator's command: the run, and the one file that it made."""
        before = set(self.directory.glob("*"))
        run = host.deploy(
            *("--data", f"backup_recipients={self.recipient}", "--data", f"backup_directory={self.directory}"),
            *options,
            program="deploys/backup.py",
        )
        assert run.status == 0, run.printed[-4000:]
        (file,) = set(self.directory.glob("*")) - before
        return run, file

    def restore(self, host: LabHost, file: Path, *options: str) -> Run:
        """Bring a backup to `host` by the operator's command; whether it succeeded is the caller's to ask."""
        named = ("--data", f"restore_file={file}", "--data", f"restore_identity={self.identity}")
        return host.deploy(*named, *options, program="deploys/restore.py")


def keeper(directory: Path) -> Keeper:
    """Somebody with a new identity, as age-keygen makes them, and no backup yet."""
    made = pyrage.x25519.Identity.generate()
    identity = directory / "identity.txt"
    identity.touch(mode=0o600)
    identity.write_text(f"# public key: {made.to_public()}\n{made}\n")
    return Keeper(directory / "backups", identity, str(made.to_public()))


def belongings(host: LabHost) -> dict[str, str]:
    """What outlives a host, as digests: LiveKit's pair, the certificate and Caddy's own authority on its disk."""
    files = f"/opt/voice/livekit/keys.yaml /opt/voice/secrets/livekit.env {CADDYS_DATA}/pki/authorities/local/root.crt"
    lines = host.shell(f"sha256sum {files} {CADDYS_DATA}/certificates/local/{DOMAIN}/{DOMAIN}.crt").splitlines()
    return {path: digest for digest, path in (line.split() for line in lines)}


def served(host: LabHost) -> str:
    """The certificate that Caddy shows a browser, as a digest."""
    address = json.loads(DESCRIPTION.read_text())["hosts"][host.name]["address"]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((address, 443), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=DOMAIN) as secure,
    ):
        return hashlib.sha256(secure.getpeercert(binary_form=True) or b"").hexdigest()
