"""The stage file as vllm-omni reads it: against the file in the release's own wheel, by the release's own loader."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.lab import readers
from tests.render.matrix import Case
from voicestack.settings import omni

_LOADER = Path(__file__).with_name("omni_loader.py")
_PACKAGED = {
    "stage_args": "vllm_omni/model_executor/stage_configs/voxtral_tts.yaml",
    "stages": "vllm_omni/deploy/voxtral_tts.yaml",
}


def intended(case: Case) -> tuple[dict[str, Any], dict[str, Any]]:
    """What differs from the packaged file, by engine argument: in stage 0, in stage 1."""
    voxtral, memory = case.settings.voxtral, case.settings.plan
    first = {
        "gpu_memory_utilization": memory.stage0.utilisation,
        "kv_cache_memory_bytes": memory.stage0.need.kv_cache,
        "max_num_seqs": voxtral.stage0_sequences,
        "max_model_len": voxtral.stage0_context,
        "enforce_eager": voxtral.stage0_eager,
    }
    if omni.release_of(case.settings.image.vllm_voxtral).schema == "stages":
        # The packaged 32,768 is for 32 sequences; vLLM 0.18's own choice for a small card is 8,192.
        first["max_num_batched_tokens"] = max(voxtral.stage0_context, 8192)
    return first, {"gpu_memory_utilization": memory.stage1.utilisation}


def wheel(case: Case) -> Path:
    """The release's own, unpacked."""
    return readers.vllm_omni(omni.release_number(case.settings.image.vllm_voxtral) or "")


def packaged(case: Case) -> Path:
    """The file that the release brings along."""
    return wheel(case) / _PACKAGED[omni.release_of(case.settings.image.vllm_voxtral).schema]


def check_file(case: Case) -> None:
    """Raise AssertionError unless the rendered file is the packaged one with the intended values, key for key."""
    release = omni.release_of(case.settings.image.vllm_voxtral)
    wanted = yaml.safe_load(packaged(case).read_text())
    # Intel's cards; ours are NVIDIA's.
    wanted.pop("platforms", None)
    for stage, changes in zip(wanted[release.schema], intended(case), strict=True):
        stage.get("engine_args", stage).update(changes)
    connectors = wanted.get("connectors") or wanted["runtime"]["connectors"]
    connectors["connector_of_shared_memory"]["extra"]["codec_chunk_frames"] = 5
    rendered = yaml.load(case.files["voxtral/voxtral_tts.yaml"].content, _OnceEach)  # noqa: S506 - a SafeLoader
    assert rendered == wanted


def check_loaded(case: Case, directory: Path) -> None:
    """Raise AssertionError unless the release's loader makes of it what it makes of its own, but for what is meant."""
    file = directory / "voxtral_tts.yaml"
    file.write_bytes(case.files["voxtral/voxtral_tts.yaml"].content)
    own, ours = (_loaded(case, path) for path in (packaged(case), file))
    for stage, changes in zip(own, intended(case), strict=True):
        stage["engine_args"].update(changes)
    assert ours == own


def _loaded(case: Case, file: Path) -> list[dict[str, Any]]:
    command = [sys.executable, str(_LOADER), str(wheel(case)), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


class _OnceEach(yaml.SafeLoader):
    """A key that stands twice is a mistake, as it is to OmegaConf; PyYAML alone takes the last one."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key stands twice in {keys}"
        return dict(super().construct_mapping(node, deep))
