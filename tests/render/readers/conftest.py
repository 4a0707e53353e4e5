"""What the reader tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.render.readers.network import own_network


@pytest.fixture
def network() -> Iterator[None]:
    """A network of the test's own."""
    with own_network():
        yield
