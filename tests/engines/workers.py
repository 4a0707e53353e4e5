"""Workers of the real vllm-omni without a model: espeak-ng speaks, everything around the workers is real.

Stage 0 says one frame a step, each naming the utterance and its own number; stage 1 looks the samples up. Runs inside
vllm-omni (entry point group vllm.general_plugins, made by install.py).
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import torch
import vllm_omni.worker.gpu_ar_worker
import vllm_omni.worker.gpu_generation_worker
from vllm.v1.kv_cache_interface import FullAttentionSpec
from vllm.v1.outputs import EMPTY_MODEL_RUNNER_OUTPUT
from vllm.v1.worker import worker_base
from vllm_omni.outputs import OmniModelRunnerOutput

from tests.engines.models import BREAKS, TEXT_FOLLOWS, VOXTRAL_SPECIALS
from tests.lab.vllm import speech
from tests.lab.vllm.stages import Chunks

CODES = 37
"""Numbers in a frame of the codec."""
FRAME = 2 * 1920
"""Bytes of 80 ms."""
FRAME_S = 0.02
"""A card's 80 ms, in a hurry. A stage 0 that is faster than the thread that hands its frames on loses some: the thread
takes a request that has ended meanwhile for one that ended where it is."""
AUDIO, END = 24, 2
SPEECH = Path(os.environ.get("VOICE_LAB_SPEECH", "/dev/shm"))
"""Where stage 0 leaves the samples for stage 1."""


class Worker(worker_base.WorkerBase):  # type: ignore[misc]
    """What a stage's engine asks of a worker besides its answers."""

    def init_device(self) -> None:
        self.device = torch.device("cpu")
        self.model_runner = None
        self.made: Any = None

    def nothing(self, *_: Any, **__: Any) -> None:
        """No weights, no cache, no speculation, and always well."""

    load_model = initialize_from_config = check_health = take_draft_token_ids = reset_mm_cache = nothing

    def get_model(self) -> Any:
        return torch.nn.Identity()

    def get_kv_cache_spec(self) -> dict[str, Any]:
        return {}

    def determine_available_memory(self) -> int:
        return int(self.cache_config.kv_cache_memory_bytes or 1 << 30)

    def compile_or_warm_up_model(self) -> Any:
        """How long it took; in later releases for two models."""
        return worker_base.CompilationTimes(0, 0) if hasattr(worker_base, "CompilationTimes") else 0.0

    def get_supported_tasks(self) -> tuple[str, ...]:
        return ("generate",)

    def execute_model(self, scheduled: Any) -> Any:
        if not scheduled.total_num_scheduled_tokens:
            return EMPTY_MODEL_RUNNER_OUTPUT
        ids = list(scheduled.num_scheduled_tokens)
        tokens, audio = self.step(scheduled, ids)
        self.made = OmniModelRunnerOutput(
            req_ids=ids,
            req_id_to_index={each: place for place, each in enumerate(ids)},
            sampled_token_ids=tokens,
            pooler_output=[{"hidden": torch.zeros(1, 4), "audio": each} for each in audio],
        )
        return None

    def sample_tokens(self, _: Any = None) -> Any:
        return self.made

    def step(self, scheduled: Any, ids: list[str]) -> tuple[list[list[int]], list[Any]]:
        """One step of a stage: each request's tokens, and its tensor."""
        raise NotImplementedError


class Speaker(Worker):
    """Stage 0: from the prompt to frames."""

    model_runner_cls = getattr(vllm_omni.worker.gpu_ar_worker.GPUARWorker, "model_runner_cls", None)

    def init_device(self) -> None:
        super().init_device()
        self.left: dict[str, list[list[int]]] = {}
        self.spoken = 0

    def get_kv_cache_spec(self) -> dict[str, Any]:
        """As the model's text half would have it, so that the scheduler counts its blocks."""
        layers = range(self.model_config.hf_config.text_config.num_hidden_layers)
        spec = FullAttentionSpec(block_size=16, num_kv_heads=8, head_size=128, dtype=torch.bfloat16)
        return {f"layers.{number}": spec for number in layers}

    def step(self, scheduled: Any, ids: list[str]) -> tuple[list[list[int]], list[Any]]:
        """The next frame of each request, or its end."""
        for new in scheduled.scheduled_new_reqs:
            self.left[new.req_id] = self._frames(new.prompt_token_ids, new.additional_information)
        time.sleep(FRAME_S)
        frames = [self.left[each].pop(0) if self.left[each] else [] for each in ids]
        tokens = [[AUDIO] if frame else [END] for frame in frames]
        return tokens, [torch.tensor(frame, dtype=torch.long) for frame in frames]

    def _frames(self, prompt: list[int], information: Any) -> list[list[int]]:
        """Speak; all its frames."""
        letters = prompt[prompt.index(TEXT_FOLLOWS) + 1 : -2]
        text = bytes(token - VOXTRAL_SPECIALS for token in letters).decode()
        if text == BREAKS:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        samples = b"".join(speech.pieces(text, information.entries["voice"].list_data[0], Chunks()))
        self.spoken += 1
        (SPEECH / f"{self.spoken}.pcm").write_bytes(samples)
        return [[self.spoken, number] + [0] * (CODES - 2) for number in range(len(samples) // FRAME)]


class Codec(Worker):
    """Stage 1: from frames to samples."""

    model_runner_cls = getattr(vllm_omni.worker.gpu_generation_worker.GPUGenerationWorker, "model_runner_cls", None)

    def step(self, scheduled: Any, ids: list[str]) -> tuple[list[list[int]], list[Any]]:
        """The samples of the new frames that each request brings, behind some that are context."""
        prompts = {new.req_id: new.prompt_token_ids for new in scheduled.scheduled_new_reqs}
        prompts |= getattr(scheduled.scheduled_cached_reqs, "prompt_token_ids", None) or {}
        return [], [self._samples((prompts.get(each) or [])[-scheduled.num_scheduled_tokens[each] :]) for each in ids]

    def _samples(self, numbers: list[int]) -> Any:
        if len(numbers) < CODES:
            return torch.zeros(0)
        (context, new), codes = numbers[:2], numbers[2:]
        frames = [codes[place * CODES :][:2] for place in range(context, context + new)]
        pcm = b"".join((SPEECH / f"{spoken}.pcm").read_bytes()[number * FRAME :][:FRAME] for spoken, number in frames)
        return torch.frombuffer(bytearray(pcm), dtype=torch.int16).float() / 32768


def register() -> None:
    """Ours in the place of theirs."""
    vllm_omni.worker.gpu_ar_worker.GPUARWorker = Speaker
    vllm_omni.worker.gpu_generation_worker.GPUGenerationWorker = Codec
