"""What of a model decides how much memory it takes, read from its own params.json or config.json. Pure.

Before the weights are on a host there is nothing to read there, and the plan must be made before anything is changed.
So it reads the parts of those files that the architecture check insists on (on_host/weights/architecture.py): a
model whose file says anything else is refused before it is fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class DimensionsError(ValueError):
    """The file does not say what a model's memory depends on."""


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


MISTRAL = {
    "layers": "n_layers",
    "hidden": "dim",
    "intermediate": "hidden_dim",
    "kv_heads": "n_kv_heads",
    "head_dim": "head_dim",
    "vocabulary": "vocab_size",
    "longest": "max_seq_len",
}
"""Our names -> the keys of a params.json in Mistral's format."""

HUGGING_FACE = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "intermediate": "intermediate_size",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "vocabulary": "vocab_size",
    "longest": "max_position_embeddings",
}
"""Our names -> the keys of a config.json of a Llama in Hugging Face's format."""


def dimensions_of(document: Mapping[str, Any]) -> Dimensions:
    """The dimensions in a params.json or config.json, whichever of the two formats it has.

    Raises:
        DimensionsError: with every key that is missing or not a positive number.
    """
    keys = MISTRAL if "n_layers" in document else HUGGING_FACE
    values = {name: document.get(key) for name, key in keys.items()}
    wrong = [keys[name] for name, value in values.items() if type(value) is not int or value < 1]
    if wrong:
        raise DimensionsError(f"no positive whole number for {', '.join(wrong)}")
    return Dimensions(**{name: int(value) for name, value in values.items() if value is not None})
