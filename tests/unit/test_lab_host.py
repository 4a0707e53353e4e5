"""The parts of the lab's host that can be tried without booting one."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.lab.disk import content_hash, make_whole
from tests.lab.packages.kernel import flavour
from tests.lab.packages.nvidia import source

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
