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
        self._hosts: dict[str, Mapping[str, Any]] = {}

    def add(self, host: str, document: Mapping[str, Any], report: str) -> None:
        """Keep a host's document, and write all of them to the file `report`, which is complete after each host."""
        self._hosts[host] = document
        if not report:
            return
        passed = all(each["passed"] for each in self._hosts.values())
        text = json.dumps({"passed": passed, "hosts": self._hosts}, indent=2, ensure_ascii=False)
        path = Path(report)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.new")
        beside.write_text(text + "\n", encoding="utf-8")
        beside.replace(path)


def keep_recordings(host: str, sounds: Mapping[str, str], directory: str) -> None:
    """Write a host's recordings (of what -> WAV in base64) into `directory`, unless that is ""."""
    if directory:
        Path(directory).mkdir(parents=True, exist_ok=True)
        for of, wav in sounds.items():
            Path(directory, f"{host}-{of}.wav").write_bytes(base64.b64decode(wav))
