"""What one process takes of the card: what others measured, and the arithmetic's shape."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from on_host.weights.architecture import GUARD_SHAPE, VOXTRAL_SHAPE
from tests.lab.hub import content
from voicestack.gpu.cards import L4, card, measured
from voicestack.gpu.dimensions import Dimensions, dimensions_of
from voicestack.gpu.memory import STAGE_1, Engine, captured_sizes, requested
from voicestack.gpu.units import GIB, MIB
from voicestack.settings.load import parse
from voicestack.settings.memory import WEIGHTS

VOXTRAL, GUARD = dimensions_of(VOXTRAL_SHAPE), dimensions_of(GUARD_SHAPE)
SPEECH = Engine(WEIGHTS["voxtral_tts"][1], VOXTRAL, sequences=32, context=4096, eager=False, chunked=False)
"""As the image's own stage file has it."""
JUDGE = Engine(WEIGHTS["llama_guard_3"][1], GUARD, sequences=4, context=8192, eager=True, chunked=True)

ENGINES = st.builds(
    Engine,
    weights=st.integers(1, 80 * GIB),
    dimensions=st.builds(
        Dimensions,
        layers=st.integers(1, 100),
        hidden=st.integers(64, 16_384),
        intermediate=st.integers(64, 32_768),
        kv_heads=st.integers(1, 64),
        head_dim=st.integers(32, 256),
        vocabulary=st.integers(1_000, 200_000),
        longest=st.just(131_072),
    ),
    sequences=st.integers(1, 256),
    context=st.integers(1, 131_072),
    eager=st.booleans(),
    chunked=st.booleans(),
)


def test_the_owners_setup_of_april_is_reproduced() -> None:
    """Stage 0 at 0.68, stage 1 at 0.1, guard at 0.25: 22,451 MiB in nvidia-smi (docs/decisions/gpu-memory.md)."""
    at_rest = SPEECH.filling(L4, 0.68).at_rest + STAGE_1 + JUDGE.filling(L4, 0.25).at_rest
    assert at_rest / MIB == pytest.approx(22_451, rel=0.03)


def test_voxtral_alone_with_the_images_own_stage_file_is_reproduced() -> None:
    """The 19.4 GB that were reported are GiB: the shares alone are more than 19.4e9 bytes."""
    at_rest = SPEECH.filling(L4, 0.8).at_rest + STAGE_1
    assert at_rest / GIB == pytest.approx(19.4, rel=0.03)
    assert requested(L4, 0.8) + STAGE_1 > 19.4e9


@pytest.mark.parametrize(
    ("utilisation", "sequences", "context", "used_gib"), [(0.8, 32, 4096, 20.97), (0.4, 4, 1024, 11.4)]
)
def test_what_others_measured_on_a_laptops_5090_is_reproduced(
    utilisation: float, sequences: int, context: int, used_gib: float
) -> None:
    """Laptops' RTX 5090: 24,463 MiB in nvidia-smi."""
    engine = replace(SPEECH, sequences=sequences, context=context)
    at_rest = engine.filling(measured(24_463), utilisation).at_rest + STAGE_1
    assert at_rest / GIB == pytest.approx(used_gib, rel=0.03)


def test_the_guard_at_15_percent_has_less_than_two_sequences_left() -> None:
    """Finding 6: after 2.81 GiB of weights it failed on an L4."""
    assert JUDGE.filling(L4, 0.15).kv_cache < 8192 * 32_768


def test_a_sequence_takes_its_tokens_and_a_spare_block() -> None:
    """Key and value, 26 layers, 8 heads of 128 in bfloat16; the guard: 16 layers, 8 heads of 64."""
    assert SPEECH.with_cache(L4).kv_cache == 32 * (4096 + 16) * 2 * 26 * 8 * 128 * 2
    assert JUDGE.with_cache(L4).kv_cache == 4 * (8192 + 16) * 2 * 16 * 8 * 64 * 2


def test_a_step_is_vllms_default_or_a_whole_prompt_where_it_is_not_chunked() -> None:
    def tokens(engine: Engine, total_mib: int = 23_034) -> float:
        one_token = (3 * 9216 + 2 * 3072) * 2
        return (engine.with_cache(measured(total_mib)).activations - 32 * 131_072 * 26) / one_token

    chunked = replace(SPEECH, chunked=True)
    assert tokens(chunked) == 2048
    assert tokens(chunked, total_mib=81_559) == 8192  # from 70 GiB on
    assert tokens(SPEECH) == 4096
    assert tokens(replace(SPEECH, context=1024)) == 2048


def test_dimensions_are_read_from_both_formats_of_real_files() -> None:
    assert dimensions_of(content.VOXTRAL_PARAMS) == VOXTRAL
    assert dimensions_of(content.GUARD_CONFIG) == GUARD


def test_a_file_without_dimensions_says_which() -> None:
    with pytest.raises(ValueError, match="no positive whole number for hidden_size, head_dim"):
        dimensions_of({**content.GUARD_CONFIG, "hidden_size": "2048", "head_dim": 0})


def test_weights_are_as_large_as_the_catalog_pins(data: dict[str, Any]) -> None:
    sizes: dict[str, dict[str, int | None]] = {
        model.architecture: {path: pin.size for path, pin in model.files.items()}
        for model in parse(data).models.values()
    }
    assert {kind: sizes[kind][file] for kind, (file, _) in WEIGHTS.items()} == {
        kind: size for kind, (_, size) in WEIGHTS.items()
    }


def test_graphs_are_captured_for_vllms_sizes() -> None:
    assert [captured_sizes(sequences) for sequences in (1, 2, 4, 32, 256, 1000)] == [2, 3, 4, 11, 67, 67]


def test_a_card_is_known_by_name_or_by_its_memory() -> None:
    assert card("L4").usable / GIB == pytest.approx(22.03, abs=0.001)
    assert card("23034").usable == pytest.approx(L4.usable, rel=0.001)
    assert card("1024").total_mib == 1024


@pytest.mark.parametrize("nonsense", ["L5", "A10G", "24", "1023", "-23034", "23034 MiB", ""])
def test_another_word_is_no_card(nonsense: str) -> None:
    with pytest.raises(ValueError, match="is neither L4 nor another card's memory"):
        card(nonsense)


@given(ENGINES, st.sampled_from(["sequences", "context", "weights"]), st.integers(1, 1000))
def test_more_of_anything_takes_more(engine: Engine, field: str, more: int) -> None:
    larger = replace(engine, **{field: getattr(engine, field) + more})
    assert larger.with_cache(L4).peak > engine.with_cache(L4).peak


@given(ENGINES, st.sampled_from(["layers", "hidden", "intermediate", "kv_heads", "head_dim", "vocabulary"]))
def test_a_larger_model_takes_more(engine: Engine, field: str) -> None:
    dimensions = replace(engine.dimensions, **{field: getattr(engine.dimensions, field) + 1})
    assert replace(engine, dimensions=dimensions).with_cache(L4).peak > engine.with_cache(L4).peak


@given(ENGINES)
def test_graphs_take_more_than_none(engine: Engine) -> None:
    with_graphs, eager = replace(engine, eager=False).with_cache(L4), replace(engine, eager=True).with_cache(L4)
    assert with_graphs.peak > eager.peak


@given(ENGINES, st.floats(0.05, 0.95))
def test_an_engine_that_fills_its_share_takes_the_share(engine: Engine, utilisation: float) -> None:
    need = engine.filling(L4, utilisation)
    assert need.budget - need.graphs == requested(L4, utilisation)
    assert need.at_rest < need.peak
