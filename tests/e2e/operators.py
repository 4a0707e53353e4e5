"""An operator of production, whose one EC2 instance is a host of the lab, found and reached as README says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.documented import ROOT, documented_command
from tests.e2e.conftest import LAB, LabHost, lab_token
from tests.lab.ec2.amazon import PROFILE, Amazon
from tests.lab.ec2.server import VALID_S
from tests.lab.ec2.sshd import console
from tests.lab.places import HOST_ADDRESSES
from tests.programs.instances import launch
from tests.terminal import Operator

NAME = "voice-1"
"""The instance's, and so the host's in inventories/prod.py."""

DOMAIN = "voice.lab.example.org"
LAB_SETTINGS = (ROOT / LAB / "group_data" / "lab.py").read_text(encoding="utf-8")


@contextmanager
def operator_of(host: LabHost, place: Path) -> Iterator[Operator]:
    """A clone whose group_data/prod.py has the lab's mirrors and small weights; AWS is moto's, over TLS.

    sshd takes a pushed key for as long as EC2 Instance Connect would have it: the key's line ends by itself.
    """
    keys = "/home/ubuntu/.ssh/authorized_keys2"

    def admit(instance: str, user: str, line: str) -> None:
        assert user == "ubuntu"
        ends = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + VALID_S))
        host.shell(f"tee -a {keys} && chown ubuntu: {keys}", stdin=f'expiry-time="{ends}" {line}\n')

    with Amazon(place) as amazon:
        instance = launch(amazon.client("ec2"), NAME)
        amazon.addresses[instance] = HOST_ADDRESSES[host.name]
        amazon.consoles[instance] = console(host.shell("cat /etc/ssh/ssh_host_ed25519_key.pub"))
        amazon.on_push = admit
        operator = Operator(place, LAB_SETTINGS, amazon.environment)
        operator.exports(documented_command("export AWS_PROFILE=...", {"...": PROFILE}))
        operator.exports(documented_command("export HF_TOKEN=...", {"...": lab_token()}))
        operator.exports(documented_command("export VOICE_DOMAIN=...", {"...": DOMAIN}))
        operator.exports(documented_command("export VOICE_TAG=Role=voice"))
        try:
            yield operator
        finally:
            host.shell(f"rm -f {keys}")
