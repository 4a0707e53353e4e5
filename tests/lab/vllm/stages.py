"""vLLM-Omni's stage configuration: the YAML, and who wins over whom."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .report import EngineDeath

BUNDLED = Path(__file__).with_name("voxtral_tts.yaml")
"""What omni takes for a voxtral_tts model when no --stage-configs-path is given."""


@dataclass(frozen=True)
class Stage:
    """One stage: its place, its role, its engine arguments after the merge."""

    number: int
    role: str
    engine_args: dict[str, Any]


@dataclass(frozen=True)
class Chunks:
    """Frames of speech in a streamed piece: `begin` until there are more than `steady`, and then `steady`.

    As vllm_omni/model_executor/stage_input_processors/voxtral_tts.py cuts them, in every release; its own defaults.
    """

    begin: int = 5
    steady: int = 25

    def ends(self, frames: int) -> list[int]:
        """After which frame each piece of so many frames ends."""
        sizes = {end: self.begin if end <= self.steady else self.steady for end in range(1, frames + 1)}
        return [end for end, size in sizes.items() if end % size == 0 or end == frames]


def chunks(path: Path) -> Chunks:
    """What a file's connector says of the pieces."""
    extras = [connector.get("extra") or {} for connector in _read(path)["runtime"]["connectors"].values()]
    names = {"begin": "codec_chunk_frames_at_begin", "steady": "codec_chunk_frames"}
    return Chunks(**{key: int(extra[name]) for extra in extras for key, name in names.items() if name in extra})


def load(path: Path, command_line: dict[str, Any]) -> list[Stage]:
    """The stages of a file; a stage's own engine_args win over the command line, as 0.18 merges them."""
    stages = _stages(_read(path))
    merged = [
        Stage(
            int(stage.get("stage_id", number)),
            str((stage.get("engine_args") or {}).get("model_stage", "thinker")),
            {**command_line, **(stage.get("engine_args") or {})},
        )
        for number, stage in enumerate(stages)
    ]
    roles = [stage.role for stage in merged]
    if roles != ["audio_generation", "audio_tokenizer"]:
        raise EngineDeath(
            "ValueError",
            f"The lab's stand-in serves Voxtral's two stages only; {path} has model_stage {roles}",
            process="APIServer",
        )
    return merged


def _read(path: Path) -> Any:
    """A file's content."""
    try:
        return yaml.safe_load(path.read_text())
    except OSError as error:
        raise EngineDeath(type(error).__name__, str(error), process="APIServer") from error
    except yaml.YAMLError as error:
        raise EngineDeath(f"yaml.{type(error).__name__}", str(error), process="APIServer") from error


def _stages(content: Any) -> list[dict[str, Any]]:
    """The list under `stage_args`."""
    stages = content.get("stage_args") if isinstance(content, dict) else None
    if not isinstance(stages, list):
        raise EngineDeath(
            "omegaconf.errors.ConfigAttributeError",
            "Missing key stage_args\n    full_key: stage_args\n    object_type=dict",
            process="APIServer",
        )
    return stages
