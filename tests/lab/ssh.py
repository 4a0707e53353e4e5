"""Keys of the lab: one for its operator, one for each host, and who is known to whom."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.lab.console import run
from tests.lab.places import HOST_ADDRESSES, STATE

USERS = {"debian": "root", "ubuntu": "ubuntu", "spare": "root", "bookworm": "root"}
KEY = STATE / "ssh" / "id_ed25519"
KNOWN_HOSTS = STATE / "ssh" / "known_hosts"


def ensure_client_key() -> str:
    """Make the operator's key once per lab; return its public half."""
    if not KEY.exists():
        KEY.parent.mkdir(parents=True, exist_ok=True)
        make_key(KEY, comment="voice-lab operator")
    return KEY.with_name(KEY.name + ".pub").read_text()


def make_key(path: Path, *, comment: str) -> None:
    """An ed25519 key pair without a passphrase."""
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path)


def remember_host(name: str, public_key: str) -> None:
    """Trust exactly this host key at the host's address, instead of an earlier one."""
    address = HOST_ADDRESSES[name]
    lines = KNOWN_HOSTS.read_text().splitlines() if KNOWN_HOSTS.exists() else []
    kept = [line for line in lines if line.split()[0] != address]
    algorithm, key = public_key.split()[:2]
    KNOWN_HOSTS.parent.mkdir(parents=True, exist_ok=True)
    KNOWN_HOSTS.write_text("\n".join([*kept, f"{address} {algorithm} {key}"]) + "\n")


def command(name: str, *remote: str) -> list[str]:
    """The ssh command line for a host; without `remote` it opens a shell."""
    options = {
        "IdentityFile": KEY,
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": KNOWN_HOSTS,
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "BatchMode": "yes",
        "ConnectTimeout": "5",
        "LogLevel": "ERROR",
    }
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    return ["ssh", "-F", "none", *words, f"{USERS[name]}@{HOST_ADDRESSES[name]}", *remote]


def answers(name: str) -> bool:
    """Whether a command can be run on the host."""
    return subprocess.run(command(name, "true"), capture_output=True, check=False).returncode == 0
