"""What lies in the model directory, and what the real programs say when it is the wrong thing or broken."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .report import EngineDeath, log


@dataclass(frozen=True)
class Model:
    """A readable model directory: `params` is its params.json (Mistral format) or config.json (HF format)."""

    path: Path
    architecture: str
    params: dict[str, Any]

    @property
    def is_voxtral_tts(self) -> bool:
        """Whether it is the speech model."""
        return self.params.get("model_type") == "voxtral_tts"

    @property
    def weights(self) -> Path:
        """The file that holds the weights."""
        return self.path / ("consolidated.safetensors" if self.is_voxtral_tts else "model.safetensors")


def _no_such_model(model: str) -> EngineDeath:
    """A name that is no local directory: what the Hub client says, which is never asked to download here."""
    if os.environ.get("HF_HUB_OFFLINE") in {"1", "true", "True", "YES"} and re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        return EngineDeath(
            "huggingface_hub.errors.LocalEntryNotFoundError",
            f"Cannot find an appropriate cached snapshot folder for '{model}' on the local disk and outgoing "
            "traffic has been disabled. To enable repo look-ups and downloads online, set 'HF_HUB_OFFLINE=0' "
            "as environment variable.",
            process="APIServer",
        )
    return EngineDeath(
        "ValueError",
        f"Invalid repository ID or local directory specified: '{model}'.\n"
        "Please verify the following requirements:\n"
        "1. Provide a valid Hugging Face repository ID.\n"
        "2. Specify a local directory that contains a recognized configuration file.\n"
        "   - For Hugging Face models: ensure the presence of a 'config.json'.\n"
        "   - For Mistral models: ensure the presence of a 'params.json'.",
        process="APIServer",
    )


def inspect(model: str) -> Model:
    """Read the directory's own description; HF's config.json is preferred, as `config_format=auto` does."""
    path = Path(model)
    for name in ("config.json", "params.json"):
        if (path / name).is_file():
            try:
                params = json.loads((path / name).read_text())
            except ValueError as error:
                raise EngineDeath("OSError", f"{path / name} is not a valid JSON file.", process="APIServer") from error
            architectures = params.get("architectures") or ["MistralForCausalLM"]
            return Model(path, architectures[0], params)
    raise _no_such_model(model)


def header_fault(weights: Path) -> str | None:
    """What safetensors says of a file whose header cannot be read or that is shorter than its header tells."""
    try:
        with weights.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > 100_000_000:
                return "Error while deserializing header: header too large"
            header = json.loads(file.read(length))
    except FileNotFoundError:
        return f"No such file or directory: {weights}"
    except ValueError:
        return "Error while deserializing header: invalid header deserialization"
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    if weights.stat().st_size != 8 + length + max(ends, default=0):
        return "Error while deserializing header: incomplete metadata, file not fully covered"
    return None


def check_weights(model: Model) -> None:
    """Die as the loader does on missing, truncated or foreign weights."""
    if not model.weights.is_file():
        raise EngineDeath("RuntimeError", f"Cannot find any model weights with `{model.path}`")
    fault = header_fault(model.weights)
    if fault is not None:
        raise EngineDeath("safetensors_rust.SafetensorError", fault)


def check_tokenizer(model: Model) -> None:
    """The tokenizer is loaded by the API server, before the engine."""
    name = "tekken.json" if model.is_voxtral_tts else "tokenizer.json"
    if not (model.path / name).is_file():
        raise EngineDeath(
            "OSError",
            f"Can't load tokenizer for '{model.path}'. If you were trying to load it from "
            "'https://huggingface.co/models', make sure you don't have a local directory with the same name. "
            f"({name} is missing)",
            process="APIServer",
        )


def voices(model: Model) -> dict[str, bool]:
    """Each voice of params.json (lower case, as served), and whether its embedding is on disk."""
    table = model.params.get("multimodal", {}).get("audio_tokenizer_args", {}).get("voice", {})
    found = {}
    for name in table:
        path = model.path / "voice_embedding" / f"{name}.pt"
        found[name.lower()] = path.is_file()
        if not path.is_file():
            log("voxtral_tts.py:139", f"Voice embedding not found: {path}", level="WARNING")
    return found
