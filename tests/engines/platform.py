"""The CPU as a platform of vllm-omni's: from 0.20 on the platform names the workers, not the stage file.

Runs inside vllm-omni (entry point group vllm_omni.platform_plugins, made by install.py).
"""

from __future__ import annotations

from vllm_omni.platforms.interface import UnspecifiedOmniPlatform


class Cpu(UnspecifiedOmniPlatform):  # type: ignore[misc]
    """vllm-omni's own platform for no card, with the workers of the one for cards, whose places ours have taken."""

    @classmethod
    def get_omni_ar_worker_cls(cls) -> str:
        return "vllm_omni.worker.gpu_ar_worker.GPUARWorker"

    @classmethod
    def get_omni_generation_worker_cls(cls) -> str:
        return "vllm_omni.worker.gpu_generation_worker.GPUGenerationWorker"


def name() -> str:
    """The platform's class."""
    return f"{__name__}.Cpu"
