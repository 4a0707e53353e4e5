"""The simulated GPU hosts of tests/lab: whatever `python -m tests.lab up` has brought up."""

import json
import os
from pathlib import Path

_LAB = Path(os.environ.get("VOICE_LAB_STATE", "/var/lib/voice-lab")) / "lab.json"
_hosts = json.loads(_LAB.read_text(encoding="utf-8"))["hosts"] if _LAB.exists() else {}

voice = [
    (
        name,
        {
            "ssh_hostname": host["address"],
            "ssh_user": host["user"],
            "ssh_key": host["key"],
            "ssh_known_hosts_file": host["known_hosts"],
            "ssh_strict_host_key_checking": "yes",
            "ssh_allow_agent": False,
            "ssh_look_for_keys": False,
            "_sudo": host["user"] != "root",
        },
    )
    for name, host in _hosts.items()
]
