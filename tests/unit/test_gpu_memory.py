"""The KV cache's arithmetic against the facts, and its shape."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deploys.gpu.memory import GUARD, VOXTRAL, kv_cache_bytes

COUNT = st.integers(1, 256)
CONTEXT = st.integers(1, 131_072)


def test_bytes_a_token_are_those_of_the_fact_sheet() -> None:
    assert VOXTRAL.bytes_per_token == 106_496
    assert GUARD.bytes_per_token == 32_768


def test_the_defaults_take_what_the_fact_sheet_says() -> None:
    gib = 2**30
    assert round(kv_cache_bytes(VOXTRAL, sequences=4, context=4096) / gib, 2) == 1.63
    assert round(kv_cache_bytes(GUARD, sequences=4, context=8192) / gib, 2) == 1.0


@given(COUNT, CONTEXT)
def test_more_sequences_or_longer_ones_take_more(sequences: int, context: int) -> None:
    base = kv_cache_bytes(GUARD, sequences=sequences, context=context)
    assert kv_cache_bytes(GUARD, sequences=sequences + 1, context=context) > base
    assert kv_cache_bytes(GUARD, sequences=sequences, context=context + 1) > base
    assert base >= sequences * context * GUARD.bytes_per_token
