"""What the sections of the settings ask of the memory. Pure."""

from __future__ import annotations

from on_host.weights.architecture import GUARD_SHAPE, VOXTRAL_SHAPE
from voicestack.gpu.cards import card
from voicestack.gpu.dimensions import dimensions_of
from voicestack.gpu.memory import Engine
from voicestack.gpu.plan import Wishes
from voicestack.gpu.speed import LARGE_V3_FILE
from voicestack.gpu.units import GIB
from voicestack.settings.catalog import Catalog
from voicestack.settings.host import Gpu
from voicestack.settings.services import Agent, Guard, Voxtral

WEIGHTS = {
    "voxtral_tts": ("consolidated.safetensors", 8_004_752_248),
    "llama_guard_3": ("model.safetensors", 2_996_982_344),
    "whisper_ct2": ("model.bin", LARGE_V3_FILE),
}
"""Architecture -> the file of its weights and, where the catalog pins no size, the bytes of the model that we mean."""


def wishes(gpu: Gpu, voxtral: Voxtral, guard: Guard, agent: Agent, catalog: Catalog) -> Wishes:
    """What these sections, and the models that they name, ask for."""
    return Wishes(
        card=card(gpu.card),
        headroom=int(gpu.headroom_gib * GIB),
        stage0=Engine(
            _weights(catalog, voxtral.model, "voxtral_tts"),
            dimensions_of(VOXTRAL_SHAPE),
            voxtral.stage0_sequences,
            voxtral.stage0_context,
            voxtral.stage0_eager,
            chunked=False,  # its stage file turns chunked prefill off
        ),
        guard=Engine(
            _weights(catalog, guard.model, "llama_guard_3"),
            dimensions_of(GUARD_SHAPE),
            guard.sequences,
            guard.context,
            guard.eager,
            chunked=True,
        ),
        guard_placement=guard.placement,
        whisper_file=_weights(catalog, agent.whisper_model, "whisper_ct2"),
        whisper_device=agent.whisper_device,
        sessions=None if agent.max_sessions == "auto" else agent.max_sessions,
    )


def _weights(catalog: Catalog, name: str, architecture: str) -> int:
    file, usual = WEIGHTS[architecture]
    model = catalog.get(name)
    pin = model.files.get(file) if model is not None else None
    return pin.size if pin is not None and pin.size is not None else usual
