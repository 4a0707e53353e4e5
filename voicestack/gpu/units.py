"""Bytes and their names. The handover's "GB" are GiB: its 2.81 GB of weights are vLLM's "2.81 GiB"."""

from __future__ import annotations

MIB = 2**20
GIB = 2**30


def gib(amount: float) -> str:
    """Bytes as people read them: "1.63 GiB"."""
    return f"{amount / GIB:.2f} GiB"
