"""Engines that are started, real ones and the lab's stand-ins."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.engines import models, servers
from tests.engines.servers import BOTH, Container, Engine, Service
from tests.render import matrix

Start = Callable[..., Engine]


def free_port() -> int:
    """A port that nobody listens on, none of those that the settings give to media."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    return free_port() if port in range(50000, 50300) else port


def container(service: Service, home: Path, release: str = "0.18.0") -> Container:
    """A service with the defaults of group_data, models in miniature and ports that are free."""
    models.guard(home / "models/llama-guard-3-1b")
    models.voxtral(home / "models/voxtral-4b-tts")
    case = matrix.case(
        image_vllm_voxtral=f"vllm/vllm-omni:v{release}", voxtral_port=free_port(), guard_port=free_port()
    )
    return Container.of(case, service, home)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a real engine that this test may end."""
    with ExitStack() as stack:

        def run(service: Service, release: str = "0.18.0") -> Engine:
            return stack.enter_context(servers.real(container(service, tmp_path, release), release, tmp_path)).ready()

        yield run


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Service, tuple[Engine, Engine]]]:
    """Each service's real engine and stand-in."""
    with ExitStack() as stack:
        pairs = {}
        for service in BOTH:
            home = tmp_path_factory.mktemp(service)
            there = container(service, home)
            pairs[service] = (
                stack.enter_context(servers.real(there, "0.18.0", home)),
                stack.enter_context(servers.stand_in(there, free_port(), home)),
            )
        yield {service: (real.ready(), stand_in.ready()) for service, (real, stand_in) in pairs.items()}
