"""The parts of the lab's host that can be tried without booting one."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.disk import content_hash, make_whole
from tests.lab.packages.kernel import NEWER_RELEASE, RELEASE, flavour, shared_library
from tests.lab.packages.nvidia import source

ROOT = Path(__file__).resolve().parents[2]

CARD = {
    "name": "NVIDIA L4",
    "total_mib": 23034,
    "torch_total_gib": 22.03,
    "uuid": "GPU-1",
    "driver_version": "580.95.05",
}


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("6.8.0-1015-aws", "aws"),
        ("6.18.44-fc-v595", "fc-v595"),
        ("6.12.41+deb13-amd64", "generic"),
        ("6.1.0-37-cloud-amd64", "cloud-amd64"),
    ],
)
def test_flavour_is_the_last_part_of_a_kernel_name(release: str, expected: str) -> None:
    assert flavour(release) == expected


def test_the_newer_kernel_is_another_one_of_the_same_flavour() -> None:
    assert NEWER_RELEASE != RELEASE
    assert flavour(NEWER_RELEASE) == flavour(RELEASE)


def test_content_hash_keeps_parts_apart() -> None:
    assert content_hash(["ab", "c"]) != content_hash(["a", "bc"])


def test_a_failed_build_leaves_nothing_that_counts(tmp_path: Path) -> None:
    target = tmp_path / "root"

    def broken(partial: Path) -> None:
        partial.mkdir()
        raise OSError("power cut")

    with pytest.raises(OSError, match="power cut"):
        make_whole(target, broken, what="a root")
    assert not target.exists()
    assert make_whole(target, Path.mkdir, what="a root").is_dir()


class Card:
    """A directory in the place of /run/nvidia-lab, and the stand-in nvidia-smi that reads it."""

    def __init__(self, state: Path) -> None:
        self.state = state
        (state / "allocations").mkdir()
        (state / "card.json").write_text(json.dumps(CARD) + "\n")

    def smi(self, *arguments: str, userland: str = "580.95.05") -> subprocess.CompletedProcess[str]:
        script = source("nvidia-smi", userland).replace("/run/nvidia-lab", str(self.state))
        return subprocess.run(["sh", "-s", "--", *arguments], input=script, capture_output=True, text=True, check=False)


@pytest.fixture
def card(tmp_path: Path) -> Card:
    return Card(tmp_path)


def test_nvidia_smi_answers_a_query_in_order(card: Card) -> None:
    answer = card.smi("--query-gpu=name,driver_version,memory.total", "--format=csv,noheader,nounits")
    assert (answer.returncode, answer.stdout) == (0, "NVIDIA L4, 580.95.05, 23034\n")


def test_nvidia_smi_counts_memory_while_its_owner_lives(card: Card) -> None:
    ledger = card.state / "allocations" / "engine.json"
    ledger.write_text('{"mib": 9000, "what": "engine"}\n')
    query = ("--query-gpu=memory.used", "--format=csv,noheader")
    with ledger.open() as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        assert card.smi(*query).stdout == "9000 MiB\n"
    assert card.smi(*query).stdout == "0 MiB\n"


def test_nvidia_smi_fails_as_the_real_one_does(card: Card) -> None:
    mismatch = card.smi("-L", userland="580.105.08")
    assert (mismatch.returncode, "Driver/library version mismatch" in mismatch.stdout) == (18, True)
    Path(f"{card.state}.grant").write_text("revoked\n")
    assert card.smi("-L").stdout == "Failed to initialize NVML: Unknown Error\n"
    (card.state / "card.json").unlink()
    assert card.smi().returncode == 9


def test_cuda_fails_as_the_real_one_does_and_the_proof_says_why(card: Card, tmp_path: Path) -> None:
    """on_host/engine/gpu_proof.py in front of the stand-in, with a directory in the place of /run and /dev."""
    text = (ROOT / "tests/lab/nvidia/libcuda.s").read_text()
    text = text.replace("/run/nvidia-lab.grant", f"{card.state}.grant").replace("/run/nvidia-lab", str(card.state))
    control, uvm, grant = tmp_path / "nvidiactl", tmp_path / "nvidia-uvm", Path(f"{card.state}.grant")
    library = tmp_path / "lib" / "libcuda.so.1"
    library.parent.mkdir()

    def cuda() -> tuple[int, str]:
        program = [sys.executable, str(ROOT / "on_host/engine/gpu_proof.py")]
        environment = {"LD_LIBRARY_PATH": str(library.parent)}
        done = subprocess.run(program, capture_output=True, text=True, check=False, env=environment)
        return done.returncode, done.stdout + done.stderr

    assert "the container toolkit put no driver library into the container" in cuda()[1]
    library.write_bytes(shared_library("libcuda.so.1", text.replace("/dev/", f"{tmp_path}/")))
    status, said = cuda()
    assert status == 1
    assert said.startswith("cuInit answers 100, CUDA_ERROR_NO_DEVICE: ")
    control.touch()
    status, said = cuda()
    assert (status, card.smi("-L").returncode) == (1, 0)
    assert said.startswith(
        "cuInit answers 999, CUDA_ERROR_UNKNOWN: the container has no /dev/nvidia-uvm, which nvidia-smi"
    )
    assert "systemctl start voice-nvidia-uvm.service" in said
    uvm.touch()
    grant.write_text("granted\n")
    assert cuda() == (0, "CUDA works\n")
    grant.write_text("revoked\n")
    assert "answers 100" in cuda()[1]


@pytest.mark.skipif(shutil.which("perl") is None, reason="the stand-in is a perl program")
def test_nvidia_ctk_merges_and_keeps_what_others_wrote(tmp_path: Path) -> None:
    program, configuration = tmp_path / "nvidia-ctk", tmp_path / "daemon.json"
    program.write_text(source("nvidia-ctk", "1.19.1"))
    before = {"log-opts": {"max-file": "3", "note": 'a "quoted" {word}'}, "live-restore": True, "dns": ["192.0.2.53"]}
    configuration.write_text(json.dumps(before))
    for _ in range(2):
        command = ["perl", str(program), "runtime", "configure", f"--config={configuration}"]
        subprocess.run(command, check=True, capture_output=True)
    nvidia = {"args": [], "path": "nvidia-container-runtime"}
    assert json.loads(configuration.read_text()) == {**before, "runtimes": {"nvidia": nvidia}}
