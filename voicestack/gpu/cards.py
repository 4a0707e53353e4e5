"""How much memory a card has. Pure.

Three figures are often taken for one another: what is sold ("24 GB"), what nvidia-smi calls total, and what CUDA
programs can have at all (torch's total), which is less by what the driver keeps. vLLM's fractions are of the last one.
`memory.used` of nvidia-smi does not contain what the driver keeps, so it compares with sums of what processes take.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from voicestack.gpu.units import GIB, MIB

DRIVER_KEEPS = 0.0207
"""The L4's driver keeps 475 of 23,034 MiB; taken for every other card, of which only nvidia-smi's total is known."""


@dataclass(frozen=True)
class GpuCard:
    """One kind of card.

    Attributes:
        total_mib: nvidia-smi's memory.total.
        usable: bytes that CUDA programs can have; torch's and vLLM's total.
        pci_id: its PCI device id (pci-ids.ucw.cz); empty: any.
    """

    name: str
    total_mib: int
    usable: int
    pci_id: str = ""


L4 = GpuCard("L4", 23_034, int(22.03 * GIB), "27b8")
"""The card of the owner's host. Both totals stand in the outputs of others' L4s."""


def measured(total_mib: int) -> GpuCard:
    """A card of which only nvidia-smi's memory.total is known."""
    return GpuCard(f"card of {total_mib:,} MiB", total_mib, int(total_mib * MIB * (1 - DRIVER_KEEPS)))


def card(name: str) -> GpuCard:
    """The L4, or a card with that number of MiB (nvidia-smi's memory.total).

    Raises:
        ValueError: it is neither.
    """
    if name == L4.name:
        return L4
    if name.isdecimal() and int(name) >= 1024:
        return measured(int(name))
    raise ValueError(f"{name!r} is neither L4 nor another card's memory.total of nvidia-smi, in MiB, such as 46068")


class Measured(NamedTuple):
    """What nvidia-smi says of one card, in MiB."""

    total_mib: int
    used_mib: int


QUERY = "nvidia-smi --query-gpu=memory.total,memory.used --format=csv,noheader,nounits"
"""The command whose output `read` takes: a line for each card."""


def read(text: str) -> tuple[Measured, ...]:
    """The cards in the output of QUERY, in its order.

    Raises:
        ValueError: it is something else.
    """
    try:
        return tuple(Measured(*map(int, line.split(","))) for line in text.splitlines() if line.strip())
    except (ValueError, TypeError):
        raise ValueError(f"not the output of `{QUERY}`: {text.strip()[:80]!r}") from None
