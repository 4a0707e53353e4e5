"""TCP to an instance without a public address, through an EC2 Instance Connect Endpoint.

The endpoint speaks WebSocket: a GET of /openTunnel whose signature is in the URL, then TCP's bytes in binary frames, as
AWS's command line does it (docs/decisions/instance-connect.md). It ends every tunnel after an hour at the latest;
instance_connect.py opens another one before that.
"""

from __future__ import annotations

import socket
import threading
from typing import Any
from urllib.parse import urlencode

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from pyinfra.api.exceptions import ConnectError
from websocket import ABNF, WebSocket, WebSocketBadStatusException, WebSocketException, create_connection

from voicestack.aws import REFUSALS, Account

LONGEST_S = 3600
"""AWS's limit, and what is asked for."""

_FRAME = 65_000
"""Bytes; the endpoint takes no more at once."""
_SIGNED_S = 60


def find_endpoint(account: Account, *, wanted: str, subnet: str, vpc: str) -> dict[str, Any]:
    """The endpoint `wanted`; or, if that is empty, the one in this subnet, else any in this VPC.

    Raises:
        ConnectError: there is none that is ready.
    """
    where = f"called {wanted}" if wanted else f"in {vpc}"
    here = {"Filters": [{"Name": "vpc-id", "Values": [vpc]}]}
    which = {"InstanceConnectEndpointIds": [wanted]} if wanted else here
    try:
        answer = account.client("ec2").describe_instance_connect_endpoints(**which)
    except REFUSALS as error:
        raise ConnectError(
            f"the endpoint {where} cannot be looked up (needs ec2:DescribeInstanceConnectEndpoints): {error}"
        ) from error
    ready = [each for each in answer["InstanceConnectEndpoints"] if each["State"] == "create-complete"]
    if not ready:
        raise ConnectError(
            f"there is no EC2 Instance Connect Endpoint {where} that is ready; make one with "
            f"`aws ec2 create-instance-connect-endpoint --region {account.region} --subnet-id {subnet}`"
        )
    found: dict[str, Any] = min(ready, key=lambda each: each.get("SubnetId") != subnet)
    return found


def url(account: Account, endpoint: dict[str, Any], address: str, port: int) -> str:
    """The signed address of a tunnel to this private address and port. It admits whoever has it: never log it."""
    query = {
        "instanceConnectEndpointId": endpoint["InstanceConnectEndpointId"],
        "remotePort": port,
        "privateIpAddress": address,
        "maxTunnelDuration": LONGEST_S,
    }
    request = AWSRequest("GET", f"https://{endpoint['DnsName']}/openTunnel?{urlencode(query)}")
    signer = SigV4QueryAuth(account.credentials(), "ec2-instance-connect", account.region, expires=_SIGNED_S)
    signer.add_auth(request)
    return "wss" + str(request.url).removeprefix("https")


class Tunnel:
    """An open tunnel: `socket` is its end for paramiko, `ended` why it is no more."""

    def __init__(self, address: str, timeout_s: float) -> None:
        """Connect to a signed address.

        Raises:
            ConnectError: the endpoint refuses or does not answer.
        """
        try:
            self._websocket: WebSocket = create_connection(
                address, timeout=timeout_s, sockopt=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
            )
        except WebSocketBadStatusException as error:
            hint = " (needs ec2-instance-connect:OpenTunnel)" if error.status_code in (401, 403) else ""
            raise ConnectError(f"the endpoint refuses the tunnel{hint}: HTTP status {error.status_code}") from error
        except (WebSocketException, OSError) as error:
            raise ConnectError(f"the endpoint does not answer: {error}") from error
        self._websocket.settimeout(None)
        self.ended = ""
        # paramiko reads with timeouts of 0.1 s, which would tear frames: it gets a socket, and two threads carry on.
        self.socket, self._inner = socket.socketpair()
        for carry in (self._carry_in, self._carry_out):
            threading.Thread(target=carry, daemon=True).start()

    def _carry_in(self) -> None:
        """From the endpoint to paramiko, until the endpoint ends it."""
        try:
            while True:
                kind, data = self._websocket.recv_data()
                if kind != ABNF.OPCODE_BINARY:
                    # A close frame begins with a code of two bytes; in text the endpoint says what went wrong.
                    said = data[2:] if kind == ABNF.OPCODE_CLOSE else data
                    self.ended = f"the endpoint ended the tunnel: {said.decode(errors='replace') or 'no reason given'}"
                    break
                self._inner.sendall(data)
        except (WebSocketException, OSError) as error:
            self.ended = f"the tunnel broke: {error}"
        self._end()

    def _carry_out(self) -> None:
        """From paramiko to the endpoint, until paramiko closes its end."""
        try:
            while data := self._inner.recv(_FRAME):
                self._websocket.send_binary(data)
        except (WebSocketException, OSError):
            return  # the other direction will hear why
        self._end()

    def _end(self) -> None:
        """Wake whoever waits on either side."""
        for each in (self._inner, self._websocket.sock):
            try:
                if each is not None:
                    each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the other direction was faster
