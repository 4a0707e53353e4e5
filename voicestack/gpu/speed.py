"""How long Whisper takes, and how many calls at once that makes. Pure.

It recognises one utterance at a time for all calls (agent/README.md), and the encoder always works on 30 s.
"""

from __future__ import annotations

from voicestack.gpu.plan import Device, MemoryPlan

LARGE_V3_FILE = 3_087_284_237
"""Bytes of faster-whisper-large-v3's model.bin, with which the times here and the memory in ram.py were measured."""

RECOGNITION_S = {"cpu": 17.5, "cuda": 2.0}
"""Seconds that large-v3 in int8 takes for one utterance. CPU: weights of its shape took 35 s of one core's time (an
EPYC without AVX-512; 29 of them the encoder, 12 words), so at best half of that on the two cores of a g6.xlarge. Card:
13 minutes in 52.6 s with a beam of five on an RTX 2080 Ti (SYSTRAN/faster-whisper, issue 1030) are 2.0 s for each 30 s;
not measured on an L4."""

TURN_S = 10.0
"""A caller says something every so many seconds: a question of five, an answer of five."""


def recognition_s(device: Device, whisper_file: int) -> float:
    """Seconds for one utterance, in proportion to the bytes of model.bin.

    Too few for large-v3-turbo: it has large-v3's encoder, where nearly all of the time goes, in a smaller file.
    """
    return RECOGNITION_S[device] * whisper_file / LARGE_V3_FILE


def callers_heard(device: Device, whisper_file: int) -> int:
    """How many callers one Whisper keeps up with; 1 at the least, however long that one waits."""
    return max(1, int(TURN_S / recognition_s(device, whisper_file)))


def sessions(plan: MemoryPlan) -> int:
    """Calls at once: as asked for, else the least that Voxtral, a guard of ours and Whisper carry."""
    wishes = plan.wishes
    heard = callers_heard(plan.whisper_device, wishes.whisper_file)
    return wishes.sessions or min(heard, *(engine.sequences for engine in wishes.engines.values()))
