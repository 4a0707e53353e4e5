"""Bytes and their names."""

from __future__ import annotations

MIB = 2**20
GIB = 2**30


def gib(amount: float) -> str:
    """Bytes as people read them: "1.63 GiB"."""
    return f"{amount / GIB:.2f} GiB"
