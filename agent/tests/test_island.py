"""The tests' own ear for calls to other machines hears them (conftest.py asserts that there are none)."""

from __future__ import annotations

import socket

import pytest

from conftest import ISLAND
from island import NOBODY
from stands import until

pytestmark = pytest.mark.anyio


@pytest.mark.skipif(ISLAND is None, reason="only root may have a network namespace")
async def test_a_call_to_another_machine_is_heard() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stray:
        stray.sendto(b"hello", (NOBODY, 9))

    await until(lambda: NOBODY in ISLAND.called(), "the stray packet is heard")
