"""All readers of the templates, and the templates with something wrong in them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab import readers
from tests.render.matrix import Case
from tests.render.readers import agent, caddy, compose, livekit, stage
from tests.render.readers.network import own_network
from voicestack.stack import render

Reader = Callable[[Case, Path], None]


def _compose(version: str) -> Reader:
    return lambda case, home: compose.check(case, home, readers.compose_versions()[version])


def _agent(case: Case, home: Path) -> None:
    agent.check(case, home, readers.compose_versions()["2.26"])


def _in_own_network(check: Reader) -> Reader:
    def checked(case: Case, home: Path) -> None:
        with own_network():
            check(case, home)

    return checked


READERS: dict[str, dict[str, Reader]] = {
    "compose.yml.j2": {
        "Compose 2.26": _compose("2.26"),
        f"Compose {readers.COMPOSE_VERSION}": _compose(readers.COMPOSE_VERSION),
        "the agent's Settings": _agent,
    },
    "Caddyfile.j2": {"caddy validate, fmt, adapt": caddy.check_file, "caddy run": _in_own_network(caddy.check_running)},
    "livekit.yaml.j2": {
        "livekit-server ports": livekit.check_ports,
        "livekit-server": _in_own_network(livekit.check_running),
    },
    "voxtral_tts.yaml.j2": {
        "the file in vllm-omni's wheel": lambda case, _: stage.check_file(case),
        "vllm-omni's loader": stage.check_loaded,
    },
}
"""Template -> who reads what it renders."""


@contextmanager
def changed_templates(patch: pytest.MonkeyPatch, directory: Path, name: str, text: str) -> Iterator[None]:
    """Templates of which one has another text."""
    copies = directory / "templates"
    shutil.copytree(render.TEMPLATES, copies)
    (copies / name).write_text(text)
    with patch.context() as patched:
        patched.setattr(render, "TEMPLATES", copies)
        yield


def complaint(make: Callable[[], Case], template: str, directory: Path) -> str | None:
    """Who refuses the case first, and why; None if every reader of the template takes it.

    A KeyError and the like are complaints too: what a check looks for in a reader's answer was not there. SystemExit
    is how a command line is refused.
    """
    for number, (name, check) in enumerate(READERS[template].items()):
        place = directory / str(number)
        place.mkdir()
        try:
            check(make(), place)
        except (Exception, SystemExit) as refused:
            return f"{name}: {type(refused).__name__}: {refused}"
    return None
