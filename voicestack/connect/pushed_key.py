"""A key for one connection: made in memory, given to EC2 Instance Connect when the host asks for it, then forgotten."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from typing import Any

import paramiko
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from paramiko.auth_strategy import AuthSource, AuthStrategy, InMemoryPrivateKey
from pyinfra.api.exceptions import ConnectError

from voicestack.aws import ATTEMPTS, REFUSALS, code, who

VALID_S = 60
"""The host's sshd takes a pushed key for so long, by AWS's documentation of SendSSHPublicKey."""

_CAUSES = {
    "AccessDeniedException": "not allowed: your credentials need ec2-instance-connect:SendSSHPublicKey on {instance}, "
    "with the condition ec2:osuser = {user} if there is one",
    "AuthException": "not allowed: your credentials need ec2-instance-connect:SendSSHPublicKey on {instance}",
    "EC2InstanceNotFoundException": "there is no instance {instance} (any more)",
    "EC2InstanceStateInvalidException": "{instance} is not running",
    "EC2InstanceUnavailableException": "{instance} is not available to EC2 Instance Connect at the moment",
    "ThrottlingException": f"AWS throttles, still so after {ATTEMPTS} tries: wait a minute, or give --parallel 5",
}
_CAUSES["TooManyRequestsException"] = _CAUSES["ThrottlingException"]


class PushedKey(AuthStrategy):
    """How paramiko authenticates: with a new key, pushed at the moment at which it is needed.

    paramiko asks for sources when the connection stands and the host key was checked. So no push is wasted on a host
    that is rebooting, no key is good for anything at an impostor's, and of the 60 s none pass before.
    """

    def __init__(self, client: Any, *, instance: str, zone: str, user: str) -> None:
        super().__init__(paramiko.SSHConfig())
        self._client, self._instance, self._zone, self._user = client, instance, zone, user

    def get_sources(self) -> Iterator[AuthSource]:
        """The one key.

        Raises:
            ConnectError: it could not be pushed; the message says why.
        """
        key = new_key()
        # CloudTrail and the host show who pushes, and when (UTC), beside the key.
        self._push(f"{key.get_name()} {key.get_base64()} {who()}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
        yield InMemoryPrivateKey(self._user, key)

    def _push(self, line: str) -> None:
        try:
            answer = self._client.send_ssh_public_key(
                InstanceId=self._instance, InstanceOSUser=self._user, SSHPublicKey=line, AvailabilityZone=self._zone
            )
        except REFUSALS as error:
            raise ConnectError(self._words(error)) from error
        if not answer["Success"]:
            raise ConnectError(f"EC2 Instance Connect did not take the key for {self._instance}, without saying why")

    def _words(self, error: Exception) -> str:
        cause = _CAUSES.get(code(error), "").format(instance=self._instance, user=self._user)
        said = error.response["Error"].get("Message", "") if isinstance(error, ClientError) else str(error)
        detail = f"{cause} (AWS: {code(error)}: {said})" if cause else f"{code(error)} {said}".strip()
        return f"the key for {self._user} cannot be pushed: {detail}"


def new_key() -> paramiko.Ed25519Key:
    """A key pair that is nowhere but in this process's memory."""
    # paramiko cannot generate one, and reads one only in OpenSSH's format.
    text = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    return paramiko.Ed25519Key.from_private_key(io.StringIO(text))
