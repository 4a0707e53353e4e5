"""One engine's start: the free-memory check, the profiling run, the KV cache, the sampler's warm-up.

Figures in GiB are the real models' (the lab's weight files are small), measured or derived in the project's
fact sheet. Two are chosen so that what was seen on the real card happens here too: each engine's overhead beside
weights and KV cache (what is left for the cache matches the fact sheet's table), and the sampler's copies.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .card import GIB, Card, OutOfMemory, gib
from .checkpoint import Model
from .report import EngineDeath, log

CONTEXT = int(0.35 * GIB)
"""Each process's CUDA context; outside every budget."""
_SAMPLER_COPIES = 32
_CONSERVE = "See https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more details."


@dataclass(frozen=True)
class Footprint:
    """What a model takes on the card."""

    name: str
    weights: int
    overhead: int
    graphs: int
    kv_per_token: int
    vocabulary: int


@dataclass(frozen=True)
class EngineArgs:
    """The arguments that decide about memory, after all merging."""

    utilization: float
    max_num_seqs: int
    max_model_len: int
    enforce_eager: bool
    kv_cache_bytes: int | None

    @classmethod
    def read(cls, merged: Mapping[str, Any], default_length: int) -> EngineArgs:
        """From CLI names with underscores; checks what vLLM's own configuration classes check."""
        utilization = float(merged["gpu_memory_utilization"])
        if not 0 < utilization <= 1:
            side = "greater than 0" if utilization <= 0 else "less than or equal to 1"
            raise EngineDeath(
                "pydantic_core._pydantic_core.ValidationError",
                "1 validation error for CacheConfig\n"
                "gpu_memory_utilization\n"
                f"  Input should be {side} [type=value_error, input_value={utilization}, input_type=float]",
                process="APIServer",
            )
        return cls(
            utilization,
            int(merged["max_num_seqs"]),
            int(merged.get("max_model_len") or default_length),
            bool(merged.get("enforce_eager")),
            int(merged["kv_cache_memory_bytes"]) if merged.get("kv_cache_memory_bytes") else None,
        )


def voxtral_footprints(model: Model) -> dict[str, Footprint]:
    """The speech model's two stages, by `model_stage`."""
    shape = model.params
    per_token = 2 * shape.get("n_layers", 26) * shape.get("n_kv_heads", 8) * shape.get("head_dim", 128) * 2
    vocabulary = shape.get("vocab_size", 131072)
    return {
        "audio_generation": Footprint(
            "stage 0", int(7.455 * GIB), int(1.0 * GIB), int(0.3 * GIB), per_token, vocabulary
        ),
        "audio_tokenizer": Footprint("stage 1", int(1.55 * GIB), 0, 0, 0, 0),
    }


def llama_footprint(model: Model) -> Footprint:
    """A Llama by its config.json (the defaults are Llama-Guard-3-1B's), two bytes a parameter."""
    shape = model.params
    hidden, layers = shape.get("hidden_size", 2048), shape.get("num_hidden_layers", 16)
    heads, kv_heads = shape.get("num_attention_heads", 32), shape.get("num_key_value_heads", 8)
    head = shape.get("head_dim", hidden // heads)
    inner, vocabulary = shape.get("intermediate_size", 8192), shape.get("vocab_size", 128256)
    attention = 2 * hidden * heads * head + 2 * hidden * kv_heads * head
    embeddings = vocabulary * hidden * (1 if shape.get("tie_word_embeddings") else 2)
    parameters = layers * (attention + 3 * hidden * inner + 2 * hidden) + embeddings + hidden
    return Footprint(
        "engine", parameters * 2, int(0.65 * GIB), int(0.4 * GIB), 2 * layers * kv_heads * head * 2, vocabulary
    )


@dataclass(frozen=True)
class Start:
    """One engine taking the card's memory as the real one does, or dying with its words."""

    card: Card
    footprint: Footprint
    args: EngineArgs
    process: str
    seconds: float

    def run(self) -> None:
        """All of it, in the real order."""
        try:
            self._take(CONTEXT, "CUDA context")
            available = self._profile(self._request())
            if self.footprint.kv_per_token:
                self._reserve_cache(available)
                if not self.args.enforce_eager:
                    self._take(self.footprint.graphs, "CUDA graphs")
                self._warm_sampler()
        except OutOfMemory as error:
            raise self._death("torch.OutOfMemoryError", str(error)) from error

    def _take(self, amount: int, what: str) -> None:
        self.card.allocate(amount, f"{self.footprint.name}: {what}")

    def _log(self, source: str, text: str) -> None:
        log(source, text, process=self.process)

    def _death(self, kind: str, message: str) -> EngineDeath:
        return EngineDeath(kind, message, process=self.process)

    def _request(self) -> int:
        """vllm/v1/worker/utils.py::request_memory."""
        total, free = self.card.total, self.card.free()
        requested = math.ceil(total * self.args.utilization)
        if free < requested:
            raise self._death(
                "ValueError",
                f"Free memory on device cuda:0 ({gib(free)}/{gib(total)} GiB) on startup is less than desired "
                f"GPU memory utilization ({self.args.utilization}, {gib(requested)} GiB). Decrease GPU memory "
                "utilization or reduce GPU memory used by other processes.",
            )
        return requested

    def _profile(self, requested: int) -> int:
        """Load, run once, see what is left for the KV cache; others' changes meanwhile distort it, as on a GPU."""
        weights, overhead = self.footprint.weights, self.footprint.overhead
        before = self.card.free()
        with self.card.profiling() as alone:
            if not alone:
                # The other engine's profiling run gives its activations back while this one measures.
                raise self._profiling_error(before, before + GIB)
            self._take(weights, "weights")
            time.sleep(self.seconds)
            after = self.card.free()
        self._log("default_loader.py:385", f"Loading weights took {self.seconds:.2f} seconds")
        loaded = f"Model loading took {gib(weights)} GiB memory and {self.seconds:.6f} seconds"
        self._log("gpu_model_runner.py:4567", loaded)
        if after > before:
            raise self._profiling_error(before, after)
        if self.args.kv_cache_bytes is not None:
            return self.args.kv_cache_bytes
        taken_by_others = before - after - weights
        return requested - weights - overhead - taken_by_others

    def _profiling_error(self, before: int, after: int) -> EngineDeath:
        return self._death(
            "AssertionError",
            f"Error in memory profiling. Initial free memory {gib(before)} GiB, current free memory "
            f"{gib(after)} GiB. This happens when other processes sharing the same container release GPU "
            "memory while vLLM is profiling during initialization. To fix this, ensure consistent GPU memory "
            "allocation or isolate vLLM in its own container.",
        )

    def _reserve_cache(self, available: int) -> None:
        """vllm/v1/core/kv_cache_utils.py: the cache must hold one sequence of the longest allowed length."""
        self._log("gpu_worker.py:457", f"Available KV cache memory: {gib(available)} GiB")
        if available <= 0:
            raise self._death(
                "ValueError",
                "No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when "
                f"initializing the engine. {_CONSERVE}",
            )
        per_token = self.footprint.kv_per_token
        longest = available // per_token // 16 * 16
        length = longest if self.args.max_model_len == -1 else self.args.max_model_len
        if length * per_token > available:
            raise self._death("ValueError", _too_long(length, longest, per_token, available))
        self._take(available, "KV cache")
        self._take(self.footprint.overhead, "activations")
        tokens = available // per_token
        self._log("kv_cache_utils.py:1316", f"GPU KV cache size: {tokens:,} tokens")
        concurrency = f"Maximum concurrency for {length:,} tokens per request: {tokens / length:.2f}x"
        self._log("kv_cache_utils.py:1322", concurrency)

    def _warm_sampler(self) -> None:
        """The sampler's dummy batch: a row of fp32 logits a sequence, several copies, from what is still free."""
        rows, row = self.args.max_num_seqs, self.footprint.vocabulary * 4
        if rows * row * _SAMPLER_COPIES > self.card.free():
            raise self._death(
                "RuntimeError",
                f"CUDA out of memory occurred when warming up sampler with {rows} dummy requests. Please try "
                "lowering `max_num_seqs` or `gpu_memory_utilization` when initializing the engine.",
            )


def _too_long(length: int, longest: int, per_token: int, available: int) -> str:
    """One sequence of the allowed length does not fit into the cache."""
    estimate = f"Based on the available memory, the estimated maximum model length is {longest}. " if longest else ""
    return (
        f"To serve at least one request with the models's max seq len ({length}), ({gib(length * per_token)} "
        f"GiB KV cache is needed, which is larger than the available KV cache memory ({gib(available)} GiB). "
        f"{estimate}Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing "
        f"the engine. {_CONSERVE}"
    )
