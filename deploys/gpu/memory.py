"""How much of the card an engine's KV cache takes. Pure.

The KV cache is given to vLLM in bytes, not left to its measurement: vLLM takes what its share of the card leaves
after a warm-up, and mistakes memory that another engine frees or takes meanwhile for its own (facts:
vllm-and-models.md, section 4). With `kv_cache_memory_bytes` it does not measure (vllm_omni/worker/base.py, line 95).
"""

from __future__ import annotations

from dataclasses import dataclass

BYTES_A_VALUE = 2
"""bfloat16."""

BLOCK_TOKENS = 16
"""vLLM hands out KV cache in blocks of this many tokens; a sequence's last block is rarely full."""


@dataclass(frozen=True)
class Attention:
    """What of a model decides the size of its KV cache."""

    layers: int
    kv_heads: int
    head_dim: int

    @property
    def bytes_per_token(self) -> int:
        """Key and value, in every layer, for every KV head."""
        return 2 * self.layers * self.kv_heads * self.head_dim * BYTES_A_VALUE


VOXTRAL = Attention(layers=26, kv_heads=8, head_dim=128)
"""params.json of Voxtral-4B-TTS-2603 (facts: vllm-and-models.md, section 3): 106,496 bytes a token."""

GUARD = Attention(layers=16, kv_heads=8, head_dim=64)
"""config.json of Llama-Guard-3-1B (facts: vllm-and-models.md, section 2): 32,768 bytes a token."""


def kv_cache_bytes(attention: Attention, *, sequences: int, context: int) -> int:
    """Bytes for `sequences` sequences of `context` tokens each, with a spare block for every sequence."""
    return sequences * (context + BLOCK_TOKENS) * attention.bytes_per_token
