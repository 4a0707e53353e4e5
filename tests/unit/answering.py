"""As much of pyinfra's host as facts and operations take."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from pyinfra.api.command import StringCommand


class Host:
    """It answers every fact with the same, and remembers what it was asked and what was said."""

    name = "box"

    def __init__(self, answer: Any, *, executing: bool = True) -> None:
        self.answer, self.asked, self.said = answer, list[dict[str, Any]](), list[str]()
        self.noop = self.log = self.said.append
        self.state = SimpleNamespace(is_executing=executing)

    def get_fact(self, _: type, **asked: Any) -> Any:
        self.asked.append(asked)
        return self.answer


def commands(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, host: Host, **arguments: Any
) -> list[StringCommand]:
    """What an operation of that module would run on that host."""
    monkeypatch.setattr(module, "host", host)
    return list(getattr(module, name)._inner(**arguments))
