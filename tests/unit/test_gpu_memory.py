"""What one process takes of the card: what others measured, and the arithmetic's shape."""

from __future__ import annotations

from dataclasses import replace

import pytest

from on_host.weights.architecture import GUARD_SHAPE, VOXTRAL_SHAPE
from tests.lab.hub import content
from voicestack.gpu.cards import L4, GpuCard, card, measured
from voicestack.gpu.dimensions import dimensions_of
from voicestack.gpu.memory import STAGE_1, Engine, Need, captured_sizes, requested
from voicestack.gpu.units import GIB
from voicestack.settings.memory import WEIGHTS

VOXTRAL, GUARD = dimensions_of(VOXTRAL_SHAPE), dimensions_of(GUARD_SHAPE)
SPEECH = Engine(WEIGHTS["voxtral_tts"][1], VOXTRAL, sequences=32, context=4096, eager=False, chunked=False)
"""As the image's own stage file has it."""
JUDGE = Engine(WEIGHTS["llama_guard_3"][1], GUARD, sequences=4, context=8192, eager=True, chunked=True)
LAPTOPS_5090 = measured(24_463)


def filling(engine: Engine, utilisation: float, card: GpuCard = L4) -> Need:
    """With the KV cache that vLLM gives itself from a share of the card; 0 or less: it would not start.

    vLLM's accounting (`vllm/v1/worker/utils.py` and `vllm_omni/worker/base.py` of the 0.18.0 wheels):

        KV cache  = requested - (weights + peak of the activations + what CUDA's libraries took meanwhile)

    The activations' peak is given back after the measurement, the CUDA graphs are captured after it, and the process's
    CUDA context was there before it. So such an engine holds, at rest, requested - activations + graphs + context.
    """
    without = replace(engine.need(card), kv_cache=0)
    return replace(without, kv_cache=requested(card, utilisation) - (without.budget - without.graphs))


@pytest.mark.parametrize(
    ("shares", "card", "used_gib"),
    [
        pytest.param([(SPEECH, 0.68), (JUDGE, 0.25)], L4, 22_451 / 1024, id="the owner's, in April 2026"),
        pytest.param([(SPEECH, 0.8)], L4, 19.4, id="Voxtral alone"),
        pytest.param([(SPEECH, 0.8)], LAPTOPS_5090, 20.97, id="on a laptop"),
        pytest.param([(replace(SPEECH, sequences=4, context=1024), 0.4)], LAPTOPS_5090, 11.4, id="little on a laptop"),
    ],
)
def test_what_others_measured_is_reproduced(shares: list[tuple[Engine, float]], card: GpuCard, used_gib: float) -> None:
    """Each beside Voxtral's second stage (docs/decisions/gpu-memory.md)."""
    at_rest = STAGE_1 + sum(filling(engine, share, card).at_rest for engine, share in shares)
    assert at_rest / GIB == pytest.approx(used_gib, rel=0.03)


def test_the_gigabytes_that_were_reported_are_gib() -> None:
    assert requested(L4, 0.8) + STAGE_1 > 19.4e9


def test_the_guard_at_15_percent_has_less_than_two_sequences_left() -> None:
    """Finding 6: after 2.81 GiB of weights it failed on an L4."""
    assert filling(JUDGE, 0.15).kv_cache < 8192 * 32_768


def test_a_step_is_vllms_default_or_a_whole_prompt_where_it_is_not_chunked() -> None:
    def tokens(engine: Engine, total_mib: int = 23_034) -> float:
        one_token = (3 * 9216 + 2 * 3072) * 2
        return (engine.need(measured(total_mib)).activations - 32 * 131_072 * 26) / one_token

    chunked = replace(SPEECH, chunked=True)
    assert tokens(chunked) == 2048
    assert tokens(chunked, total_mib=81_559) == 8192  # from 70 GiB on
    assert tokens(SPEECH) == 4096
    assert tokens(replace(SPEECH, context=1024)) == 2048


def test_dimensions_are_read_from_both_formats_of_real_files() -> None:
    assert dimensions_of(content.VOXTRAL_PARAMS) == VOXTRAL
    assert dimensions_of(content.GUARD_CONFIG) == GUARD


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
