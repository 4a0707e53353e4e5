"""What the controller keeps of a run: one JSON document for all hosts, and the recordings if they were asked for."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Documents:
    """The documents of one run's hosts; nothing is written unless a setting says where."""

    def __init__(self) -> None:
        self._hosts: dict[str, Any] = {}

    def add(self, host: str, document: dict[str, Any], report: str, recordings: str) -> None:
        """Keep a host's document; the file is complete after each host."""
        sounds = document.pop("recordings")
        self._hosts[host] = document
        if recordings:
            directory = Path(recordings)
            directory.mkdir(parents=True, exist_ok=True)
            for of, wav in sounds.items():
                (directory / f"{host}-{of}.wav").write_bytes(base64.b64decode(wav))
        write(report, self._hosts)


def write(report: str, hosts: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the hosts' documents as one to the file `report`, unless that is ""."""
    if not report:
        return
    passed = all(each["passed"] for each in hosts.values())
    text = json.dumps({"passed": passed, "hosts": hosts}, indent=2, ensure_ascii=False)
    path = Path(report)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.new")
    beside.write_text(text + "\n", encoding="utf-8")
    beside.replace(path)
