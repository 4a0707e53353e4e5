"""Which host key a host must show, and who says so. No key is ever accepted because it is the first one seen."""

from __future__ import annotations

import re
import threading
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko
from pyinfra.api.exceptions import ConnectError

from voicestack.aws import REFUSALS, code

_KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
"""In the order in which a host is asked for them. RSA keys are left out: paramiko 4 would ask for SHA-1 signatures."""

_BLOCK = re.compile(r"-----BEGIN SSH HOST KEY KEYS-----(.*?)-----END SSH HOST KEY KEYS-----", re.DOTALL)
_KEY = re.compile(rf"\b({'|'.join(_KINDS)}) (AAAA[A-Za-z0-9+/]+={{0,2}})(?=\s)")
_APPENDING = threading.Lock()


@dataclass(frozen=True)
class Expected:
    """The keys of a host, preferred first, and who says so."""

    keys: tuple[paramiko.PKey, ...]
    source: str


def in_console_output(text: str) -> tuple[paramiko.PKey, ...]:
    """The host keys that cloud-init printed last on the console; none if it did not, or the block is cut off."""
    blocks = _BLOCK.findall(text)
    return _ordered([key for kind, blob in _KEY.findall(blocks[-1]) if (key := _key(kind, blob))]) if blocks else ()


def in_known_hosts(path: Path, name: str) -> tuple[paramiko.PKey, ...]:
    """The keys under this name in a file of OpenSSH's format; none if there is no such file.

    Raises:
        ConnectError: it cannot be read, or a line in it, about whichever host, cannot be.
    """
    fix = "correct the line, or remove it"
    try:
        if not path.exists():
            return ()
        lines = path.read_bytes().decode().split("\n")  # paramiko does not say where it could not
        found = paramiko.HostKeys(str(path)).lookup(name)
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        raise ConnectError(f"{path} line {number}: is not UTF-8; {fix}") from error
    except paramiko.hostkeys.InvalidHostKey as error:
        number = [line.strip() for line in lines].index(error.line) + 1
        raise ConnectError(f"{path} line {number}: its key is not whole (base64); {fix}") from error
    except OSError as error:
        raise ConnectError(f"{path}: cannot be read: {error.strerror}") from error
    return _ordered(list(found.values())) if found else ()


def remember(path: Path, name: str, key: paramiko.PKey) -> None:
    """Add a verified key of this host to the file, once.

    Raises:
        ConnectError: the file cannot be read or written.
    """
    with _APPENDING:
        if key in in_known_hosts(path, name):
            return
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            whole = not path.exists() or path.read_bytes().endswith(b"\n")  # an editor may have left the last line open
            with path.open("a", encoding="ascii") as file:
                file.write(f"{'' if whole else chr(10)}{name} {key.get_name()} {key.get_base64()}\n")
        except OSError as error:
            raise ConnectError(f"{path}: the key of {name} cannot be written into it: {error.strerror}") from error


def of_console(ec2: Any, instance_id: str) -> tuple[tuple[paramiko.PKey, ...], str]:
    """The host keys on an instance's console, and why there are none."""
    # What the console shows now can be asked of Nitro instances only; what it showed after the last start, of all.
    for how in ({"Latest": True}, {}):
        try:
            output = ec2.get_console_output(InstanceId=instance_id, **how).get("Output", "")
        except REFUSALS as error:
            if code(error) != "UnsupportedOperation":
                return (), f"cannot be read (needs ec2:GetConsoleOutput): {error}"
            continue
        if keys := in_console_output(output):
            return keys, ""
    return (), "holds none"


def expected(ec2: Any, instance_id: str, addresses: list[str], remembered: Path, operators: Path) -> Expected:
    """Whom to expect: the key we remember, else what the console says, else what the operator's file says.

    Our file comes first because cloud-init prints the keys at an instance's first boot only; the operator's comes last
    because EC2 gives an address to another instance as soon as it is free, and a line in it may be about that one.

    Raises:
        ConnectError: nobody knows a key, or a file of keys cannot be read.
    """
    if keys := in_known_hosts(remembered, instance_id):
        return Expected(keys, str(remembered))
    keys, reason = of_console(ec2, instance_id)
    if keys:
        return Expected(keys, "EC2's console output")
    for name in addresses:
        if keys := in_known_hosts(operators, name):
            return Expected(keys, f"{operators} (as {name})")
    raise ConnectError(
        f"the host key of {instance_id} cannot be checked, so no connection is made: EC2's console output {reason}, "
        f"{remembered} has no line for {instance_id}, {operators} none for {' or '.join(addresses)}. An instance that "
        "was just launched prints its keys within minutes: try again. Otherwise read /etc/ssh/ssh_host_ed25519_key.pub "
        f"on the host (EC2 serial console, Session Manager) and add to {remembered}: {instance_id} ssh-ed25519 AAAA..."
    )


def mismatch(instance_id: str, shown: paramiko.PKey, expected: Expected) -> ConnectError:
    """The error for a host that shows another key."""
    known = " or ".join(f"{key.get_name()} {key.fingerprint}" for key in expected.keys)
    return ConnectError(
        f"{instance_id} shows the host key {shown.get_name()} {shown.fingerprint}, but {expected.source} says {known}. "
        "Either somebody is in between, or the host has new keys: check on the host (EC2 serial console, Session "
        "Manager) with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`, and if so correct the line"
    )


def _key(kind: str, blob: str) -> paramiko.PKey | None:
    """The key of a line; None if the kernel wrote into its middle, as it does on a console."""
    try:
        data = b64decode(blob, validate=True)
        key = paramiko.PKey.from_type_string(kind, data)
    except (paramiko.SSHException, ValueError, IndexError):
        return None
    return key if key.asbytes() == data else None  # paramiko fills up what is cut off with zeros


def _ordered(keys: list[paramiko.PKey]) -> tuple[paramiko.PKey, ...]:
    return tuple(key for kind in _KINDS for key in keys if key.get_name() == kind)
