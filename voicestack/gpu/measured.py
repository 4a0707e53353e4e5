"""What nvidia-smi says is used, beside the plan. Pure."""

from __future__ import annotations

from dataclasses import dataclass

QUERY = "nvidia-smi --query-gpu=memory.total,memory.used --format=csv,noheader,nounits"
"""The command whose output `read` takes: a line for each card."""


@dataclass(frozen=True)
class Measured:
    """One card, in MiB."""

    total_mib: int
    used_mib: int


def read(text: str) -> tuple[Measured, ...]:
    """The cards in the output of QUERY, in its order.

    Raises:
        ValueError: it is something else.
    """
    try:
        rows = [[int(figure) for figure in line.split(",")] for line in text.splitlines() if line.strip()]
        return tuple(Measured(total, used) for total, used in rows)
    except ValueError:
        raise ValueError(f"not the output of `{QUERY}`: {text.strip()[:80]!r}") from None
