"""The pyinfra connector @eic: ssh with EC2 Instance Connect, directly or through an endpoint's tunnel."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paramiko
from pyinfra.api.exceptions import ConnectError
from pyinfra.connectors.ssh import SSHConnector

from voicestack.aws import REFUSALS, Account, account
from voicestack.connect import environment, host_keys, tunnel
from voicestack.connect.ec2 import GROUPS, chosen_instances, common_data, public_address
from voicestack.connect.pushed_key import VALID_S, PushedKey
from voicestack.lock import LockedError, held

KEEPALIVE_S = 30
"""Between signs of life on a silent connection, so that no NAT or endpoint on the way forgets it."""

RENEW_S = tunnel.LONGEST_S // 2
"""A command that begins when its tunnel is older gets a new one, so that it has at least half an hour."""


class InstanceConnect(SSHConnector):
    """`pyinfra @eic/tag:Role=voice ...`: the running instances with these tags, with a new key for each connection."""

    client: Any = None
    _tunnel: tunnel.Tunnel | None = None
    _since = 0.0

    @staticmethod
    def make_names_data(name: str) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
        """Name, data and groups of each instance that `name` ("tag:KEY=VALUE") chooses.

        Raises:
            InstancesError: there is none, or one that does not run or cannot be reached.
        """
        wanted = environment.read()
        through = wanted.connect == "tunnel"
        for host, found in chosen_instances(name, wanted).items():
            data = {
                "eic_instance": found["InstanceId"],
                "eic_zone": found["Placement"]["AvailabilityZone"],
                "eic_role_arn": wanted.role_arn,
                "eic_address": found["PrivateIpAddress"] if through else public_address(host, found),
                "eic_tunnel": through,
                "eic_endpoint": wanted.endpoint,
                "eic_subnet": found.get("SubnetId", ""),
                "eic_vpc": found.get("VpcId", ""),
                "eic_known_hosts": str(wanted.known_hosts),
            }
            yield host, {**common_data(host, found, wanted), **data}, list(GROUPS)

    def connect(self) -> None:
        """Check the host's key, push a new key of ours, log in. Each call does all of it anew.

        Raises:
            ConnectError: it cannot be done; the message says why and what to do.
        """
        if self.client:
            self.client.close()
        self.client = self._tunnel = None
        here = account(self.host.data.eic_region, self.host.data.eic_role_arn)
        expected = self._expected(here)
        strategy = PushedKey(
            here.client("ec2-instance-connect"),
            instance=self.host.data.eic_instance,
            zone=self.host.data.eic_zone,
            user=self.data["ssh_user"],
        )
        self._since = time.monotonic()
        with self._errors_in_words(expected):
            client = self._log_in(self._socket(here), expected, strategy)
        transport: Any = client.get_transport()
        transport.set_keepalive(KEEPALIVE_S)
        shown = transport.get_remote_server_key()
        host_keys.remember(Path(self.host.data.eic_known_hosts), self.host.data.eic_instance, shown)
        self.client = client

    def run_shell_command(self, *arguments: Any, **options: Any) -> Any:
        """As SSHConnector; connects anew first if the connection was lost or its tunnel is old.

        Raises:
            ConnectionError: there is no connection, or it was lost while the command ran.
        """
        with self._working_connection():
            status, output = super().run_shell_command(*arguments, **options)
            if not status and not self._alive():
                raise EOFError  # paramiko says so by an exit status of -1, which pyinfra shows as any other
            return status, output

    def put_file(self, *arguments: Any, **options: Any) -> bool:
        """As SSHConnector, with run_shell_command's care."""
        with self._working_connection():
            return bool(super().put_file(*arguments, **options))

    def get_file(self, *arguments: Any, **options: Any) -> bool:
        """As SSHConnector, with run_shell_command's care."""
        with self._working_connection():
            return bool(super().get_file(*arguments, **options))

    def check_can_rsync(self) -> None:
        """Never: rsync starts an ssh of its own, which has no key."""
        raise NotImplementedError("rsync needs a key in a file; with @eic there is none. Use files.put or files.sync")

    @property
    def _port(self) -> int:
        return int(self.data["ssh_port"] or 22)

    @property
    def _where(self) -> str:
        return f"{self.host.data.eic_instance} at {self.host.data.eic_address}:{self._port}"

    def _expected(self, here: Account) -> host_keys.Expected:
        name = self.host.data.eic_address
        return host_keys.expected(
            here.client("ec2"),
            self.host.data.eic_instance,
            [name if self._port == 22 else f"[{name}]:{self._port}"],
            Path(self.host.data.eic_known_hosts),
            Path("~/.ssh/known_hosts").expanduser(),
        )

    def _socket(self, here: Account) -> socket.socket:
        patience = self.state.config.CONNECT_TIMEOUT
        if not self.host.data.eic_tunnel:
            return socket.create_connection((self.host.data.eic_address, self._port), timeout=patience)
        endpoint = tunnel.find_endpoint(
            here, wanted=self.host.data.eic_endpoint, subnet=self.host.data.eic_subnet, vpc=self.host.data.eic_vpc
        )
        signed = tunnel.url(here, endpoint, self.host.data.eic_address, self._port)
        self._tunnel = tunnel.Tunnel(signed, timeout_s=patience)
        return self._tunnel.socket

    def _log_in(self, sock: socket.socket, expected: host_keys.Expected, strategy: PushedKey) -> paramiko.SSHClient:
        # Not pyinfra's client, which reads ~/.ssh/config: address, user, key and host key are all known here.
        client = paramiko.SSHClient()
        for key in expected.keys:
            client.get_host_keys().add(self.host.data.eic_instance, key.get_name(), key)
        try:
            client.connect(
                self.host.data.eic_instance,
                username=self.data["ssh_user"],
                sock=sock,
                timeout=self.state.config.CONNECT_TIMEOUT,
                auth_strategy=strategy,
            )
        except BaseException:
            client.close()
            sock.close()
            raise
        return client

    @contextmanager
    def _errors_in_words(self, expected: host_keys.Expected) -> Iterator[None]:
        try:
            yield
        except ConnectError:
            raise
        except paramiko.BadHostKeyException as error:
            raise host_keys.mismatch(self.host.data.eic_instance, error.key, expected) from error
        except paramiko.AuthenticationException as error:
            raise ConnectError(
                f"{self._where} took no key for {self.data['ssh_user']}, although EC2 Instance Connect accepted one: "
                f"is {self.data['ssh_user']} the image's user (--ssh-user), is the package ec2-instance-connect "
                "installed, may sshd ask the metadata service, and does no AuthorizedKeysCommand of yours replace its? "
                f"(A key is good for {VALID_S} s; this one was pushed a moment before.)"
            ) from error
        except TimeoutError as error:
            raise ConnectError(
                f"no answer from {self._where}: does its security group admit this machine to port {self._port}? "
                "VOICE_CONNECT=tunnel needs no open port"
            ) from error
        except ConnectionRefusedError as error:
            raise ConnectError(f"{self._where} refuses: it is still booting, or sshd does not run") from error
        except (paramiko.SSHException, OSError, EOFError, *REFUSALS) as error:
            reason = self._reason() or str(error) or "it hung up"
            raise ConnectError(f"no ssh connection to {self._where}: {reason}") from error

    @contextmanager
    def _working_connection(self) -> Iterator[None]:
        self._renew()
        try:
            yield
        except (OSError, EOFError, paramiko.SSHException) as error:
            if self._alive():
                raise
            raise ConnectionError(
                f"the connection to {self.host.data.eic_instance} was lost ({self._reason() or 'it hung up'}) while a "
                "command or transfer was under way: whether it came to its end is unknown. Run again: what was done is "
                "not done twice"
            ) from error

    def _renew(self) -> None:
        """Connect anew where that is due; nothing is under way now."""
        old = self._tunnel is not None and time.monotonic() - self._since > RENEW_S
        if self._alive() and not old:
            return
        reason = "the tunnel is half an hour old" if self._alive() else self._reason() or "the connection was lost"
        self.host.log(f"{reason}: connecting anew")
        lock = held(self.host)
        if lock:
            lock.pause()
        self.disconnect()  # forgets the file transfer's channel
        try:
            self.connect()
            if lock:
                lock.resume()
        except (ConnectError, LockedError) as error:
            raise ConnectionError(str(error)) from error  # which fails this host, and not the others' run

    def _alive(self) -> bool:
        transport = self.client.get_transport() if self.client else None
        # paramiko notes an exception before it wakes those who wait, and becomes inactive after.
        return transport is not None and transport.is_active() and transport.saved_exception is None

    def _reason(self) -> str:
        return self._tunnel.ended if self._tunnel else ""
