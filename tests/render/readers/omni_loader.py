"""vllm-omni's own loader of the stage file, taken from a released wheel. A program: it prints the stages as JSON.

`python omni_loader.py WHEEL FILE` imports the loader's modules from the wheel. What they import beside it and never
call to read a file (vllm, torch and the like) is not installed; empty modules stand in its place. A loader that
needed one of them would fail here, not pass.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import json
import logging
import sys
import types
from pathlib import Path
from typing import Any

_HEAVY = ("vllm", "torch", "transformers", "fastapi", "starlette")
_OWN_BUT_HEAVY = ("vllm_omni.core", "vllm_omni.platforms", "vllm_omni.entrypoints.stage_utils")
_NOT_RUN = ("vllm_omni", "vllm_omni.config", "vllm_omni.entrypoints", "vllm_omni.model_executor")
"""Packages whose __init__ imports the engine: only their modules are wanted."""


class _Empty(types.ModuleType):
    """A module that has any class one imports from it, and nothing else."""

    def __getattr__(self, name: str) -> Any:
        if name == "init_logger":
            return logging.getLogger
        if name == "current_omni_platform":
            return types.SimpleNamespace(device_name="cuda")
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (), {"__module__": self.__name__})
        setattr(self, name, made)
        return made


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules that are not installed."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        wanted = name.partition(".")[0] in _HEAVY or name.startswith(_OWN_BUT_HEAVY)
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if wanted else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to run."""


def _prepare(wheel: Path) -> None:
    sys.meta_path.insert(0, _Finder())
    packages = [*_NOT_RUN, *(f"vllm_omni.model_executor.models{part}" for part in ("", ".voxtral_tts"))]
    for name in packages:
        package = types.ModuleType(name)
        package.__path__ = [f"{wheel}/{name.replace('.', '/')}"]
        sys.modules[name] = package


def _old(file: str) -> list[dict[str, Any]]:
    """The stages of a `stage_args` file, as `vllm serve --stage-configs-path` merges them with no flags."""
    loaded = importlib.import_module("vllm_omni.entrypoints.utils").load_stage_configs_from_yaml(file)
    to_dict = importlib.import_module("vllm_omni.config.yaml_util").to_dict
    return [to_dict(stage) for stage in loaded]


def _new(file: str) -> list[dict[str, Any]]:
    """The stages of a `stages` file, laid over the pipeline that the release has for Voxtral."""
    config = importlib.import_module("vllm_omni.config.stage_config")
    to_dict = importlib.import_module("vllm_omni.config.yaml_util").to_dict
    pipeline = importlib.import_module("vllm_omni.model_executor.models.voxtral_tts.pipeline").VOXTRAL_TTS_PIPELINE
    merged = config.merge_pipeline_deploy(pipeline, config.load_deploy_config(file))
    return [to_dict(stage.to_omegaconf()) for stage in merged]


def main(wheel: str, file: str) -> None:
    """Print the stages."""
    _prepare(Path(wheel))
    new = (Path(wheel) / "vllm_omni/deploy/voxtral_tts.yaml").exists()
    print(json.dumps((_new if new else _old)(file)))


if __name__ == "__main__":
    main(*sys.argv[1:])
