"""`vllm serve`: parse, look at the model, take the card's memory, answer."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from . import checkpoint, engine, stages
from .card import DEFAULT_ROOT, Card, find
from .checkpoint import Model
from .flags import parse
from .guard_api import GuardHandler
from .omni_api import OmniServer
from .report import EngineDeath, log, print_death
from .server import ApiServer, Front, serve

_STAGE_SECONDS = 0.8
_PLAIN_SECONDS = 1.5
"""Profiling takes visible time, so that two engines that start together do meet."""


def main(argv: list[str], *, card_root: Path = DEFAULT_ROOT, hurry: bool = False) -> int:
    """The program; `card_root` and `hurry` (no waiting) are for tests on a machine without the lab's card."""
    signal.signal(signal.SIGTERM, _leave)
    args = parse(argv)
    log("stand-in", "vLLM stand-in of the lab (no GPU, no model); speaks as 0.18.0", process="APIServer")
    try:
        server = build(args, card_root, hurry)
    except EngineDeath as death:
        print_death(death)
        return 1
    serve(server)
    return 0


def _leave(number: int, frame: FrameType | None) -> None:
    """SIGTERM: end at once and cleanly; the card's memory is free when the process is gone."""
    sys.exit(0)


def build(args: argparse.Namespace, card_root: Path, hurry: bool) -> ApiServer:
    """The server, with its engines' memory taken."""
    model = checkpoint.inspect(args.model)
    names = args.served_model_name or [args.model]
    keys = args.api_key or [key for key in [os.environ.get("VLLM_API_KEY")] if key]
    host = args.host or "0.0.0.0"  # noqa: S104 - vLLM's own default
    front = Front((host, args.port), names, keys, args.model)
    if args.omni:
        return _start_omni(args, model, card_root, front, hurry)
    return _start_plain(args, model, card_root, front, hurry)


def _card(root: Path) -> Card:
    card = find(root)
    if card is None:
        raise EngineDeath(
            "RuntimeError",
            "Failed to infer device type, please set the environment variable `VLLM_LOGGING_LEVEL=DEBUG` to "
            "turn on verbose logging to help debug the issue.",
            process="APIServer",
        )
    return card


def _start_omni(args: argparse.Namespace, model: Model, root: Path, front: Front, hurry: bool) -> ApiServer:
    """vLLM-Omni: the stages one after the other, as its device lock makes them."""
    config = _stage_file(args, model)
    command_line = {key: value for key, value in vars(args).items() if value is not None}
    plan = stages.load(config, command_line)
    if not model.is_voxtral_tts:
        raise _no_diffusion()
    checkpoint.check_tokenizer(model)
    card = _card(root)
    checkpoint.check_weights(model)
    footprints = engine.voxtral_footprints(model)
    sized = [engine.EngineArgs.read(stage.engine_args, default_length=65536) for stage in plan]
    for stage, engine_args in zip(plan, sized, strict=True):
        process = f"StageEngineCoreProc-{stage.number}"
        log("async_omni_engine.py:412", f"Stage {stage.number} ({stage.role}): {engine_args}", process="APIServer")
        seconds = 0 if hurry else _STAGE_SECONDS
        engine.Start(card, footprints[stage.role], engine_args, process, seconds).run()
    voices = checkpoint.voices(model)
    return OmniServer(front, sized[0].max_model_len, voices, sized[0].max_num_seqs, stages.chunks(config))


def _stage_file(args: argparse.Namespace, model: Model) -> Path:
    """The given stage configuration, or what omni resolves for the model (resolve_model_config_path)."""
    if args.stage_configs_path is not None:
        return Path(args.stage_configs_path)
    if not model.is_voxtral_tts:
        raise _no_diffusion()
    if checkpoint.header_fault(model.weights) not in {None, _TRUNCATED}:
        raise EngineDeath(
            "ValueError",
            f"Could not determine model_type for model: {model.path}. Model is not in standard transformers "
            "format and does not have model_index.json. Please ensure the model has proper configuration "
            "files with 'model_type' field",
            process="APIServer",
        )
    return stages.BUNDLED


_TRUNCATED = "Error while deserializing header: incomplete metadata, file not fully covered"
"""The header itself is readable, so the model type is found and the loader fails later."""


def _no_diffusion() -> EngineDeath:
    """Omni takes what it does not know for a diffusion model: so ends who serves the wrong Voxtral."""
    return EngineDeath(
        "ValueError", "Model class None not found in diffusion model registry.", process="StageDiffusionProc-0"
    )


def _start_plain(args: argparse.Namespace, model: Model, root: Path, front: Front, hurry: bool) -> ApiServer:
    """Plain vLLM; of all its models the stand-in answers as Llama Guard only."""
    checkpoint.check_tokenizer(model)
    card = _card(root)
    checkpoint.check_weights(model)
    if model.is_voxtral_tts:
        raise EngineDeath(
            "ValueError",
            "There is no module or parameter named 'acoustic_transformer' in MistralForCausalLM. The "
            "available parameters belonging to  (MistralForCausalLM) are: "
            "{'lm_head.weight', 'model.embed_tokens.weight', …}",
        )
    if model.architecture != "LlamaForCausalLM":
        raise EngineDeath(
            "ValueError",
            f"Model architectures ['{model.architecture}'] are not supported for now. (The lab's stand-in "
            "serves LlamaForCausalLM; the real vLLM may know it.)",
            process="APIServer",
        )
    engine_args = _plain_args(vars(args), model)
    log("core.py:104", f"Initializing a V1 LLM engine (v0.18.0) with config: model='{args.model}', {engine_args}")
    seconds = 0 if hurry else _PLAIN_SECONDS
    engine.Start(card, engine.llama_footprint(model), engine_args, "EngineCore", seconds).run()
    return ApiServer(front, GuardHandler, engine_args.max_model_len)


def _plain_args(merged: dict[str, Any], model: Model) -> engine.EngineArgs:
    """The engine's arguments; no length means the model's own."""
    longest = int(model.params.get("max_position_embeddings", 131072))
    engine_args = engine.EngineArgs.read(merged, default_length=longest)
    if engine_args.max_model_len > longest:
        raise EngineDeath(
            "pydantic_core._pydantic_core.ValidationError",
            "1 validation error for ModelConfig\n"
            f"  Value error, User-specified max_model_len ({engine_args.max_model_len}) is greater than the "
            f"derived max_model_len (max_position_embeddings={longest} or model_max_length=None in model's "
            "config.json). To allow overriding this maximum, set the env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1.",
            process="APIServer",
        )
    return engine_args
