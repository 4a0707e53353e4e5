"""What one process takes of the card. Pure.

We give vLLM its KV cache in bytes. It then does not measure at all, and takes

    weights + KV cache + activations + graphs + libraries + context

Left to measure, it mistakes memory that another engine frees or takes meanwhile for its own, and fills its share of the
card (tests/unit/test_gpu_memory.py has that arithmetic, and compares it with what others measured).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from voicestack.gpu.cards import GpuCard
from voicestack.gpu.dimensions import Dimensions
from voicestack.gpu.units import GIB, MIB

BYTES_A_VALUE = 2
"""bfloat16."""

BLOCK_TOKENS = 16
"""vLLM hands out KV cache in blocks of this many tokens; a sequence's last block is rarely full."""

CONTEXT = int(0.19 * GIB)
"""A CUDA context when vLLM takes its first reading: an idle L4 then has 21.84 of 22.03 GiB free."""

LIBRARIES = 500 * MIB - CONTEXT
"""What CUDA's libraries and kernels take while the engine warms up, so that context and libraries are together the
upper end of the 300-500 MiB a process of vllm issue 12059. (One log says 0.16 GiB, on an H100:
kubernetes-sigs/gateway-api-inference-extension, pull request 550.)"""

GRAPH = 28 * MIB
"""A captured batch size: 11 of them "took 0.31 GiB" in a log of vLLM's V1 engine, and 24-28 MiB each in vllm pull
request 22897; other models than ours. The acoustic transformer's own graphs (3 layers beside 26) are not apart."""

LOGIT_BYTES = 26
"""Of the sampler, for each word of the vocabulary and each sequence: bfloat16 and float32 logits, probabilities,
sorted values and their 64-bit places, running sums."""

STAGE_1 = int(1.55 * GIB)
"""Voxtral's codec stage as a whole process, whatever its share: it has no KV cache (vLLM's recipe on an RTX 4090)."""

WHISPER_OF_FILE = 1.03
"""A Whisper on the card with weights in int8 takes as much as its float16 file has bytes, and 3 % on top: large-v3
2,953 MB for a file of 2,944 MiB, large-v3-turbo 1,545 for 1,543, with a beam of five (SYSTRAN/faster-whisper, issue
1030; RTX 2080 Ti). We use no beam."""


@dataclass(frozen=True)
class Need:
    """What a process takes of the card, in bytes; `other` is a whole process as others measured it."""

    weights: int = 0
    kv_cache: int = 0
    activations: int = 0
    graphs: int = 0
    libraries: int = 0
    context: int = 0
    other: int = 0

    @property
    def peak(self) -> int:
        """At most."""
        return self.budget + self.context

    @property
    def at_rest(self) -> int:
        """What nvidia-smi shows of it while nobody speaks."""
        return self.peak - self.activations

    @property
    def budget(self) -> int:
        """What it will allocate after its CUDA context: vLLM's start-up check should ask for so much."""
        return self.weights + self.kv_cache + self.activations + self.graphs + self.libraries + self.other


@dataclass(frozen=True)
class Engine:
    """A model as vLLM serves it: `weights` in bytes, `context` in tokens; `chunked` as enable_chunked_prefill."""

    weights: int
    dimensions: Dimensions
    sequences: int
    context: int
    eager: bool
    chunked: bool

    @property
    def is_too_long(self) -> bool:
        """Whether its context is longer than the model's own: vLLM refuses to start."""
        return self.context > self.dimensions.longest

    def need(self, card: GpuCard) -> Need:
        """With KV cache for all sequences at their longest, and a spare block for each."""
        shape = self.dimensions
        # Key and value, in every layer, for every KV head.
        bytes_a_token = 2 * shape.layers * shape.kv_heads * shape.head_dim * BYTES_A_VALUE
        return Need(
            weights=self.weights,
            kv_cache=self.sequences * (self.context + BLOCK_TOKENS) * bytes_a_token,
            activations=self._activations(card),
            graphs=0 if self.eager else GRAPH * captured_sizes(self.sequences),
            libraries=LIBRARIES,
            context=CONTEXT,
        )

    def _activations(self, card: GpuCard) -> int:
        """The peak of one step: the feed-forward network's, and the sampler's for each sequence.

        In that network, gate and up projection and their product live at once, beside two copies of the hidden state.
        """
        tokens = 2048 if card.usable < 70 * GIB else 8192  # vLLM's default for max_num_batched_tokens
        if not self.chunked:
            tokens = max(tokens, self.context)  # a whole prompt must fit into a step
        layer = tokens * (3 * self.dimensions.intermediate + 2 * self.dimensions.hidden) * BYTES_A_VALUE
        return layer + self.sequences * self.dimensions.vocabulary * LOGIT_BYTES


def requested(card: GpuCard, utilisation: float) -> int:
    """What vLLM's start-up check wants free (its `request_memory`)."""
    return math.ceil(card.usable * utilisation)


def captured_sizes(sequences: int) -> int:
    """How many batch sizes vLLM captures as CUDA graphs: 1, 2, 4, then every eighth, to twice the sequences or 512."""
    largest = min(2 * sequences, 512)
    return sum(1 for size in (1, 2, 4) if size <= largest) + largest // 8
