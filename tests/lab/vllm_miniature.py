"""Model directories in miniature for the stand-in's tests."""

from __future__ import annotations

import json
from pathlib import Path

from tests.lab.hub import content


def safetensors(names: list[str]) -> bytes:
    """A valid safetensors file with one byte a tensor."""
    header = {
        name: {"dtype": "U8", "shape": [1], "data_offsets": [place, place + 1]} for place, name in enumerate(names)
    }
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(len(names))


def voxtral(directory: Path) -> Path:
    """Voxtral-4B-TTS with two voices; de_male's embedding is missing."""
    (directory / "voice_embedding").mkdir(parents=True)
    voices = {"de_female": 0, "casual_male": 1, "de_male": 2}
    params = {
        "model_type": "voxtral_tts",
        "n_layers": 26,
        "n_kv_heads": 8,
        "head_dim": 128,
        "vocab_size": 131072,
        "multimodal": {"audio_tokenizer_args": {"voice": voices}},
    }
    (directory / "params.json").write_text(json.dumps(params))
    (directory / "tekken.json").write_text("{}")
    (directory / "consolidated.safetensors").write_bytes(safetensors(["acoustic_transformer.x", "layers.0"]))
    for voice in ("de_female", "casual_male"):
        (directory / "voice_embedding" / f"{voice}.pt").write_bytes(b"pt")
    return directory


def guard(directory: Path) -> Path:
    """Llama-Guard-3-1B with its true dimensions."""
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(content.GUARD_CONFIG))
    (directory / "tokenizer.json").write_text("{}")
    (directory / "model.safetensors").write_bytes(safetensors(["model.embed_tokens.weight"]))
    return directory


def card(directory: Path) -> Path:
    """An idle L4."""
    directory.mkdir(parents=True)
    (directory / "card.json").write_text(json.dumps({"total_mib": 23034, "torch_total_gib": 22.03}))
    return directory


def tuned(path: Path, bundled: Path, utilizations: tuple[float, float] = (0.5, 0.08)) -> Path:
    """The bundled stage file with the tuned figures."""
    text = bundled.read_text().replace("max_num_seqs: 32", "max_num_seqs: 4")
    for old, new in zip((0.8, 0.1), utilizations, strict=True):
        text = text.replace(f"gpu_memory_utilization: {old}", f"gpu_memory_utilization: {new}")
    path.write_text(text)
    return path
