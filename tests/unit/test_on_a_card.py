"""benchmarks/on_a_card.sh without a card: it gets as far as it can, says the rest, and ends in time.

No card has seen it yet. libcuda.so.1 and nvidia-smi are the lab's stand-ins; behind their figures is nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from benchmarks.on_a_card import ITEMS, ROOT, row, within
from tests.lab.packages.kernel import shared_library
from tests.lab.packages.nvidia import source

CONTEXT = "".join(
    f".globl {name}\n{name}: {body}; xor %eax, %eax; ret\n"
    for name, body in {
        "cuDevicePrimaryCtxRetain": "movq $1, (%rdi)",
        "cuCtxSetCurrent": "nop",
        "cuCtxCreate_v2": "movq $2, (%rdi)",
        "cuMemGetInfo_v2": "movabs $23450673152, %rax; mov %rax, (%rdi); movabs $23654682296, %rax; mov %rax, (%rsi)",
    }.items()
)
"""What a context needs of libcuda, of whose 22.03 GiB 0.19 are then in use."""
SIMULATED = """
mount -t tmpfs tmpfs /dev
mount -t tmpfs tmpfs /run
mkdir /run/nvidia-lab
printf '{"name": "NVIDIA L4", "driver_version": "580.95.05", "total_mib": 23034}' >/run/nvidia-lab/card.json
for node in null zero urandom nvidia0 nvidiactl nvidia-uvm; do : >/dev/$node; done
exec sh benchmarks/on_a_card.sh
"""


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """An empty directory for temporary files."""
    directory = tmp_path / "scratch"
    directory.mkdir()
    return directory


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The script's words with Python as it is here: without torch and ctranslate2."""
    variables = {"PATH": os.environ["PATH"], "PYTHON": sys.executable, **environment}
    return subprocess.run(words, cwd=ROOT, env=variables, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_it_measures_what_the_driver_alone_can_tell_and_says_what_the_rest_lacks(scratch: Path) -> None:
    with tempfile.TemporaryDirectory() as place:  # not pytest's: uid 10001 comes to it
        (Path(place) / "nvidia-smi").write_text(source("nvidia-smi", "580.95.05"))
        (Path(place) / "nvidia-smi").chmod(0o755)
        functions = (ROOT / "tests/lab/nvidia/libcuda.s").read_text() + "\n.text\n" + CONTEXT
        (Path(place) / "libcuda.so.1").write_bytes(shared_library("libcuda.so.1", functions))
        Path(place).chmod(0o755)
        machine = {"PATH": f"{place}:{os.environ['PATH']}", "LD_LIBRARY_PATH": place, "TMPDIR": str(scratch)}
        done = run("unshare", "--mount", "sh", "-ec", SIMULATED, **machine)
    assert (done.returncode, done.stderr, list(scratch.iterdir())) == (0, "", [])
    card, *lines = done.stdout.splitlines()
    assert card == "NVIDIA L4, 580.95.05, 23034, 0, [N/A]"
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    assert {what: (measured, ratio) for what, measured, _, ratio, _ in rows[2:]} == {
        "driver keeps, % of memory.total": ("2.06", "1.00"),
        "first process's context, nvidia-smi, MiB": ("0.00", "0.00"),
        "the same, total less free of CUDA, MiB": ("194.56", "1.00"),
        "a second context in one process, MiB": ("0.00", "0.00"),
        "each of three more processes', MiB": ("0.00", "0.00"),
        "cuInit as uid 10001 without capabilities": ("CUDA works", "as planned"),
        "the same with a read-only root, /dev of its own": ("CUDA works", "as planned"),
        "the same without /dev/nvidia-uvm": (
            "cuInit answers 999, CUDA_ERROR_UNKNOWN: the container has no /dev/nvid",
            "as planned",
        ),
    }
    assert lines[-4:] == [
        "context: measured",
        "restrictions: measured",
        "sampler: not measured, or not all of it: ModuleNotFoundError: No module named 'torch'",
        "whisper: not measured, or not all of it: ModuleNotFoundError: No module named 'ctranslate2'",
    ]


def test_without_a_card_it_says_so_and_fails() -> None:
    done = run("sh", "benchmarks/on_a_card.sh")
    assert done.returncode == 1
    assert "nvidia-smi does not work here, and without it no memory is measured" in done.stdout
    assert "restrictions: not measured, or not all of it: OSError: libcuda.so.1" in done.stdout


def test_what_hangs_is_ended_with_all_that_it_started(monkeypatch: pytest.MonkeyPatch, scratch: Path) -> None:
    """A driver that answers and a nvidia-smi that does not."""
    started = scratch / "started"
    (scratch / "nvidia-smi").write_text(f"#!/bin/sh\necho $$ $TMPDIR >{started}\nexec sleep 60\n")
    (scratch / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{scratch}:{os.environ['PATH']}")
    assert within("context", 2, str(scratch)) == "not done after 2 s"
    number, place = started.read_text().split()
    assert place == str(scratch)  # 3 GB of weights would stay elsewhere
    process = Path(f"/proc/{number}/cmdline")  # empty of one that ended and nobody waited for
    until = time.monotonic() + 10
    while process.exists() and process.read_bytes() and time.monotonic() < until:
        time.sleep(0.01)
    assert time.monotonic() < until


def test_all_of_it_fits_into_8_minutes() -> None:
    assert sum(seconds for _, seconds in ITEMS.values()) <= 8 * 60 - 30  # nvidia-smi's own, before the items


@pytest.mark.parametrize(
    ("measured", "plan", "ratio"),
    [(52, 26, "2.00"), (1.0, 4.0, "0.25"), ("CUDA works", "CUDA works", "as planned"), ("no", "CUDA works", "DIFFERS")],
)
def test_a_row_compares_numbers_and_texts(
    capsys: pytest.CaptureFixture[str], measured: float | str, plan: float | str, ratio: str
) -> None:
    row("what", measured, plan, "WHERE")
    assert capsys.readouterr().out.split(" | ")[3] == ratio
