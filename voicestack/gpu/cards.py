"""How much memory a card has. Pure.

Three figures are often taken for one another: what is sold ("24 GB"), what nvidia-smi calls total, and what CUDA
programs can have at all (torch's total), which is less by what the driver keeps. vLLM's fractions are of the last one.
`memory.used` of nvidia-smi does not contain what the driver keeps, so it compares with sums of what processes take.
"""

from __future__ import annotations

from dataclasses import dataclass

from voicestack.gpu.units import GIB, MIB

DRIVER_KEEPS = 0.0207
"""The L4's driver keeps 475 of 23,034 MiB, the largest part of the cards of which both figures are known; it is used
where only nvidia-smi's figure is."""


@dataclass(frozen=True)
class Card:
    """One kind of card.

    Attributes:
        name: as in the setting gpu_card.
        total_mib: nvidia-smi's memory.total.
        usable: bytes that CUDA programs can have; torch's and vLLM's total.
        pci_ids: its PCI device ids (pci-ids.ucw.cz); empty: any.
    """

    name: str
    total_mib: int
    usable: int
    pci_ids: tuple[str, ...] = ()


def measured(total_mib: int, name: str = "") -> Card:
    """A card of which only nvidia-smi's memory.total is known."""
    return Card(name or f"card of {total_mib:,} MiB", total_mib, int(total_mib * MIB * (1 - DRIVER_KEEPS)))


_A10G = measured(23_028)
_H100 = measured(81_559)

CARDS = {
    card.name: card
    for card in (
        # Both totals: facts, vllm-and-models.md, section 4.
        Card("L4", 23_034, int(22.03 * GIB), ("27b8",)),
        # nvidia-smi's totals: modal-labs/modal-client, pull request 2797. The L40S's usable part is the L40's, a card
        # of the same memory (QwenLM/Qwen3-VL, issue 2097: "a total capacity of 44.40 GiB").
        Card("L40S", 46_068, int(44.40 * GIB), ("26b9",)),
        Card("A10G", 23_028, _A10G.usable, ("2237",)),
        Card("H100", 81_559, _H100.usable, ("2330", "2331")),
    )
}
"""By name. Nothing here was measured by us."""

PCI_NAMES = {pci_id: card.name for card in CARDS.values() for pci_id in card.pci_ids}


def card(name: str) -> Card:
    """The card of that name, or a card with that number of MiB (nvidia-smi's memory.total).

    Raises:
        ValueError: it is neither.
    """
    if name in CARDS:
        return CARDS[name]
    if name.isdecimal() and int(name) >= 1024:
        return measured(int(name))
    known = ", ".join(CARDS)
    raise ValueError(f"{name!r} is not a card known here ({known}) and not nvidia-smi's memory.total in MiB")
