"""What of a model decides how much memory it takes, read from its own params.json or config.json. Pure.

Before the weights are on a host there is nothing to read there, and the plan must be made before anything is changed.
So it reads the parts of those files that the architecture check insists on (on_host/weights/architecture.py): a
model whose file says anything else is refused before it is fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KEYS = {
    "layers": ("n_layers", "num_hidden_layers"),
    "hidden": ("dim", "hidden_size"),
    "intermediate": ("hidden_dim", "intermediate_size"),
    "kv_heads": ("n_kv_heads", "num_key_value_heads"),
    "head_dim": ("head_dim", "head_dim"),
    "vocabulary": ("vocab_size", "vocab_size"),
    "longest": ("max_seq_len", "max_position_embeddings"),
}
"""Ours -> the key in a params.json of Mistral's format, and in a config.json of Hugging Face's for a Llama."""


@dataclass(frozen=True)
class Dimensions:
    """Of a decoder with grouped-query attention and a gated feed-forward network; `longest` in tokens."""

    layers: int
    hidden: int
    intermediate: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    longest: int


def dimensions_of(document: Mapping[str, Any]) -> Dimensions:
    """The dimensions in a params.json or config.json, whichever of the two formats it has.

    Raises:
        KeyError: one is missing.
    """
    format_ = 0 if "n_layers" in document else 1
    return Dimensions(**{ours: document[theirs[format_]] for ours, theirs in KEYS.items()})
