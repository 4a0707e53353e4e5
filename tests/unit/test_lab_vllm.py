"""The lab's vLLM stand-in refuses to start where the real one does, with its words."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab import vllm_miniature as models
from tests.lab.vllm import card as cards
from tests.lab.vllm.checkpoint import inspect
from tests.lab.vllm.cli import build
from tests.lab.vllm.engine import llama_footprint
from tests.lab.vllm.flags import parse
from tests.lab.vllm.omni_api import OmniServer
from tests.lab.vllm.report import EngineDeath
from tests.lab.vllm.stages import BUNDLED, Chunks

GIB = 2**30
GUARD_FLAGS = "--gpu-memory-utilization 0.25 --max-num-seqs 4 --max-model-len 8192 --enforce-eager"
Start = Callable[..., str]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A card and both models; the memory comes back afterwards."""
    models.card(tmp_path / "card")
    models.voxtral(tmp_path / "voxtral")
    models.guard(tmp_path / "guard")
    yield tmp_path
    cards.release()


@pytest.fixture
def start(home: Path) -> Start:
    """Start an engine from a command line; its last words, or '' if it serves."""

    def run(line: str) -> str:
        words = line.format(home=home).split()
        try:
            build(parse(["serve", *words, "--host", "127.0.0.1", "--port", "0"]), home / "card", True).server_close()
        except EngineDeath as death:
            return f"{death.kind}: {death.message}"
        return ""

    return run


def free(home: Path) -> float:
    """GiB free on the card."""
    return cards.Card(home / "card").free() / GIB


def occupy(home: Path, gib: float) -> None:
    """Another process's memory."""
    cards.Card(home / "card").allocate(int(gib * GIB), "other")


@pytest.mark.parametrize("flag", ["--deploy-config x", "--stage-overrides {}", "--no-such-flag", "--gpu-memory 0.3"])
def test_unknown_flag_is_refused(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse(["serve", "/models/x", "--omni", *flag.split()])
    assert exit_.value.code == 2
    assert f"vllm: error: unrecognized arguments: {flag}" in capsys.readouterr().err


def test_omni_flags_exist_only_with_omni(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["serve", "/models/x", "--stage-configs-path", "/x.yaml"])
    assert "unrecognized arguments: --stage-configs-path" in capsys.readouterr().err


def test_lengths_are_read_as_vllm_reads_them() -> None:
    assert parse(["serve", "x", "--max-model-len", "8K"]).max_model_len == 8192
    assert parse(["serve", "x", "--max_model_len=auto"]).max_model_len == -1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/nowhere --omni", "Invalid repository ID or local directory specified: '/nowhere'"),
        ("{home}/voxtral", "no module or parameter named 'acoustic_transformer' in MistralForCausalLM"),
        ("{home}/guard --omni", "Model class None not found in diffusion model registry"),
        ("{home}/guard --gpu-memory-utilization 0.25", r"max seq len \(131072\), \(4.0 GiB KV cache is needed"),
        ("{home}/guard --gpu-memory-utilization 0.12", "No available memory for the cache blocks"),
        ("{home}/guard --gpu-memory-utilization 1.2", "Input should be less than or equal to 1"),
        ("{home}/guard --max-model-len 200000", "greater than the derived max_model_len"),
        ("{home}/voxtral --omni --stage-configs-path /none.yaml", "FileNotFoundError"),
    ],
)
def test_it_refuses(start: Start, line: str, words: str) -> None:
    assert re.search(words, start(line), re.DOTALL)


def test_offline_hub_names_are_not_downloaded(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "LocalEntryNotFoundError" in start("meta-llama/Llama-Guard-3-1B")


def test_no_card_no_engine(start: Start, home: Path) -> None:
    shutil.rmtree(home / "card")
    assert "Failed to infer device type" in start(f"{{home}}/guard {GUARD_FLAGS}")


@pytest.mark.parametrize(
    ("damage", "flags", "words"),
    [
        (b"", "", "Could not determine model_type for model"),
        (b"x" * 40, "", "Could not determine model_type for model"),
        (b"x" * 40, "--stage-configs-path {home}/stages.yaml", "SafetensorError: .*header too large"),
        (None, "", "incomplete metadata, file not fully covered"),
    ],
)
def test_damaged_weights(start: Start, home: Path, damage: bytes | None, flags: str, words: str) -> None:
    models.tuned(home / "stages.yaml", BUNDLED)
    weights = home / "voxtral" / "consolidated.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] if damage is None else damage)
    assert re.search(words, start("{home}/voxtral --omni " + flags))


def test_new_stage_schema_is_not_understood(start: Start, home: Path) -> None:
    (home / "new.yaml").write_text("stages: []\n")
    assert "Missing key stage_args" in start("{home}/voxtral --omni --stage-configs-path {home}/new.yaml")


def test_weights_and_cache_have_the_real_sizes(home: Path) -> None:
    footprint = llama_footprint(inspect(str(home / "guard")))
    assert footprint.weights == 2_996_965_376
    assert footprint.kv_per_token == 32_768


def test_command_line_loses_to_the_stage_file(start: Start, home: Path) -> None:
    """The bundled 0.8 takes the card although the command line asks for 0.3."""
    assert start("{home}/voxtral --omni --gpu-memory-utilization 0.3 --max-model-len 64") == ""
    assert free(home) < 2.5


def test_the_stage_file_says_how_long_the_pieces_of_speech_are(home: Path) -> None:
    file = models.tuned(home / "stages.yaml", BUNDLED)
    file.write_text(file.read_text().replace("codec_chunk_frames: 25", "codec_chunk_frames: 5"))
    line = f"serve {home}/voxtral --omni --stage-configs-path {file} --host 127.0.0.1 --port 0"
    with build(parse(line.split()), home / "card", True) as server:
        assert isinstance(server, OmniServer)
        assert server.chunks == Chunks(begin=5, steady=5)


def test_default_stages_leave_no_room_for_the_guard(start: Start) -> None:
    assert start("{home}/voxtral --omni") == ""
    assert re.search(
        r"Free memory on device cuda:0 \(.*/22.03 GiB\) on startup is less than desired GPU memory "
        r"utilization \(0.25, 5.51 GiB\)",
        start(f"{{home}}/guard {GUARD_FLAGS}"),
    )


def test_tuned_stages_and_guard_live_together(start: Start, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models.tuned(home / "stages.yaml", BUNDLED)
    assert start("{home}/voxtral --omni --stage-configs-path {home}/stages.yaml") == ""
    assert start(f"{{home}}/guard {GUARD_FLAGS}") == ""
    assert "GPU KV cache size: " in capsys.readouterr().out
    assert 1.5 < free(home) < 4


def test_default_sequences_exhaust_the_sampler_beside_voxtral(start: Start, home: Path) -> None:
    models.tuned(home / "stages.yaml", BUNDLED)
    assert start("{home}/voxtral --omni --stage-configs-path {home}/stages.yaml") == ""
    said = start("{home}/guard --gpu-memory-utilization 0.25 --max-model-len 8192")
    assert "CUDA out of memory occurred when warming up sampler with 256 dummy requests" in said


@pytest.mark.parametrize(("stage0", "words"), [(0.40, "max seq len (4096)"), (0.35, "No available memory")])
def test_low_stage_has_no_room_for_its_cache(start: Start, home: Path, stage0: float, words: str) -> None:
    models.tuned(home / "stages.yaml", BUNDLED, (stage0, 0.08))
    assert words in start("{home}/voxtral --omni --stage-configs-path {home}/stages.yaml")


def test_guard_first_keeps_default_voxtral_out(start: Start, home: Path) -> None:
    assert start(f"{{home}}/guard {GUARD_FLAGS}") == ""
    assert "(0.8, 17.62 GiB)" in start("{home}/voxtral --omni")


def test_two_engines_profiling_at_once(start: Start, home: Path) -> None:
    with cards.Card(home / "card").profiling() as alone:
        assert alone
        assert "AssertionError: Error in memory profiling. Initial" in start(f"{{home}}/guard {GUARD_FLAGS}")


def test_memory_of_the_dead_is_free(home: Path) -> None:
    occupy(home, 10)
    assert free(home) == pytest.approx(11.84, abs=0.01)
    (home / "card" / "allocations" / "dead.json").write_text(json.dumps({"mib": 9000, "what": "killed"}))
    assert free(home) == pytest.approx(11.84, abs=0.01)
    cards.release()
    assert free(home) == pytest.approx(21.84, abs=0.01)
