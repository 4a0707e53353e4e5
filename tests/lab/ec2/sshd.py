"""OpenSSH's sshd on a free port of 127.0.0.1, which asks for keys as an EC2 host with Instance Connect does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from tests.lab.ec2.server import Ec2Server, Instance
from tests.lab.ssh import make_key

_CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {key}
PidFile none
AuthorizedKeysFile none
AuthorizedKeysCommand /usr/bin/curl -fsS {url}/active-keys/{instance}/%u
AuthorizedKeysCommandUser nobody
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UsePAM no
MaxStartups 100
Subsystem sftp internal-sftp
"""


class Sshd:
    """One host: start and stop it as often as it shall boot."""

    def __init__(self, directory: Path, server: Ec2Server, instance: Instance) -> None:
        key = directory / "host_key"
        if not key.exists():
            make_key(key, comment=f"root@{instance.name}")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.public_key = key.with_suffix(".pub").read_text().strip()
        self._config = directory / "sshd_config"
        self._config.write_text(_CONFIG.format(port=self.port, key=key, url=server.url, instance=instance.id))
        self._log = directory / "sshd.log"
        self._words = ["/usr/sbin/sshd", "-f", str(self._config)]
        # Since 9.8 it shuts out who fails to log in, which is what some tests do; older ones do not know the option.
        patient = [*self._words, "-o", "PerSourcePenalties=no"]
        if subprocess.run([*patient, "-t"], capture_output=True, check=False).returncode == 0:
            self._words = patient
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Boot; returns when it listens."""
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([*self._words, "-D", "-e"], stderr=log)
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
            except ConnectionRefusedError as error:
                if self._process.poll() is not None:
                    raise RuntimeError(f"sshd does not start: {self._log.read_text()}") from error
                time.sleep(0.01)
            else:
                return

    def stop(self) -> None:
        """End it and everything that was started through it, as a reboot does."""
        if self._process is not None:
            for process in [self._process.pid, *_descendants(self._process.pid)]:
                with suppress(ProcessLookupError):  # a connection's that ended meanwhile
                    os.kill(process, signal.SIGKILL)
            self._process.wait()
            self._process = None


def _descendants(process: int) -> list[int]:
    try:
        children = [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:  # it has ended
        return []
    return [each for child in children for each in (child, *_descendants(child))]


def console(*public_keys: str) -> str:
    """What cloud-init prints at a first boot, in the noise around it."""
    return "\r\n".join(
        [
            "[    0.000000] Linux version 6.8.0-1021-aws",
            "<14>Nov 23 08:00:01 cloud-init: -----BEGIN SSH HOST KEY FINGERPRINTS-----",
            "<14>Nov 23 08:00:01 cloud-init: 256 SHA256:notakey root@ip-10-0-0-1 (ED25519)",
            "<14>Nov 23 08:00:01 cloud-init: -----END SSH HOST KEY FINGERPRINTS-----",
            "-----BEGIN SSH HOST KEY KEYS-----",
            *public_keys,
            "-----END SSH HOST KEY KEYS-----",
            "[   12.345678] cloud-init[1234]: Cloud-init v. 24.4 finished",
            "",
        ]
    )
