"""The lab's stand-in answers as the real programs do: one table of requests, each difference listed with its reason."""

from __future__ import annotations

import time

import pytest

from on_host.engine import health
from tests.engines.servers import BOTH, Engine, Service
from tests.engines.table import LISTED, ROWS, Row, ask

GRACE_S = 30
"""compose.yml's stop_grace_period."""
Pairs = dict[Service, tuple[Engine, Engine]]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.service}, {row.name}")
def test_row(engines: Pairs, row: Row) -> None:
    real, stand_in = (ask(engine, row) for engine in engines[row.service])
    different = {name for name in real.keys() | stand_in.keys() if real.get(name) != stand_in.get(name)}
    allowed, _ = LISTED.get((row.service, row.name), (set(), ""))
    assert different == allowed, "\n".join(
        f"{name}:\n  real     {real.get(name)!r}\n  stand-in {stand_in.get(name)!r}" for name in sorted(different)
    )


@pytest.mark.parametrize("who", ["real", "stand-in"])
@pytest.mark.parametrize("service", BOTH)
def test_an_idle_connection_lives_for_five_seconds(engines: Pairs, service: Service, who: str) -> None:
    connection = engines[service][who == "stand-in"].connect()
    connection.request("GET", "/health")
    assert connection.getresponse().read() == b""
    began = time.monotonic()
    assert connection.sock.recv(1) == b""
    assert 4.5 < time.monotonic() - began < 6.5
    connection.close()


def test_the_products_proofs_pass(engines: Pairs) -> None:
    for engine in engines["vllm-voxtral"]:
        health.prove_speech(f"http://127.0.0.1:{engine.port}", "de_female")
    for engine in engines["vllm-guard"]:
        health.prove_judgement(f"http://127.0.0.1:{engine.port}", "llama-guard-3-1b")


@pytest.mark.parametrize("service", BOTH)
def test_last_of_all_they_leave_in_time_though_a_client_stays(engines: Pairs, service: Service) -> None:
    for engine in engines[service]:
        connection = engine.connect()
        connection.request("GET", "/health")
        connection.getresponse().read()
        engine.process.terminate()
        assert engine.process.wait(GRACE_S) == 0
        connection.close()
