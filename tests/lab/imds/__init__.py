"""EC2's instance metadata service (IMDSv2 only) for the lab's hosts.

The hosts reach it where EC2's is, at http://169.254.169.254: that address is no link of theirs, so it goes to their
gateway, the controller, which sends it on to this server (tests/lab/network.py). Nothing is installed on a host, and
the controller's own metadata service, where it has one, stays what it is for the controller.
"""

from __future__ import annotations

from tests.lab import aws, controlled

PORT = 8095


def ensure(address: str) -> dict[str, object]:
    """Serve on `address`, and say where its controls are and which role it hands out."""
    return {"url": controlled.ensure("imds", address, PORT), "role": aws.ROLE}
