"""The plan: what it accepts, vLLM starts; what it refuses, it explains; what it advises, fits."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.conftest import default_data
from voicestack.gpu import advice
from voicestack.gpu.cards import measured
from voicestack.gpu.memory import Need
from voicestack.gpu.plan import CardPlan, GpuProcess, MemoryPlan, make
from voicestack.gpu.ram import host_memory
from voicestack.gpu.speed import LARGE_V3_FILE, callers_heard, sessions
from voicestack.gpu.units import GIB, MIB
from voicestack.settings.load import parse, typed
from voicestack.settings.model import Settings

DEFAULTS = default_data()
TURBO_FILE = 1_617_884_929
WISHES = st.fixed_dictionaries(
    {
        "gpu_card": st.sampled_from(["L4", "15360", "46068", "81559"]),
        "gpu_headroom_gib": st.integers(0, 6),
        "voxtral_stage0_sequences": st.integers(1, 64),
        "voxtral_stage0_context": st.integers(512, 70_000),
        "voxtral_stage0_eager": st.booleans(),
        "guard_sequences": st.integers(1, 256),
        "guard_context": st.integers(512, 140_000),
        "guard_eager": st.booleans(),
        "guard_placement": st.sampled_from(["gpu0", "gpu1", "http://10.0.0.7:8000"]),
        "agent_whisper_device": st.sampled_from(["auto", "cpu", "cuda"]),
    }
)


def planned(asked: dict[str, Any]) -> MemoryPlan:
    """The plan of the defaults with these settings, whether it fits or not."""
    return typed({**DEFAULTS, **asked})[0].plan


def assert_vllm_starts(card: CardPlan) -> None:
    """vLLM's own checks (vllm/v1/worker/utils.py), each one started last, all others at their most."""
    for process in card.processes:
        if process.utilisation is None:
            continue
        assert 0 < process.utilisation <= 1
        others = sum(other.need.peak for other in card.processes if other is not process)
        free = card.card.usable - others - process.need.context
        assert free >= math.ceil(card.card.usable * process.utilisation)
        assert free >= process.need.budget


@given(WISHES)
def test_what_the_plan_accepts_vllm_accepts(asked: dict[str, Any]) -> None:
    made = planned(asked)
    assume(made.fits)
    for card in made.cards:
        assert_vllm_starts(card)
        assert card.free >= asked["gpu_headroom_gib"] * GIB
    # A KV cache that cannot hold one sequence of the longest allowed length is refused, and so is a longer one.
    assert made.stage0.need.kv_cache >= asked["voxtral_stage0_context"] * 106_496
    assert asked["voxtral_stage0_context"] <= 65_536
    if made.guard is not None:
        assert made.guard.need.kv_cache >= asked["guard_context"] * 32_768
        assert asked["guard_context"] <= 131_072


@given(WISHES)
def test_what_the_plan_refuses_it_explains_and_what_it_advises_fits(asked: dict[str, Any]) -> None:
    made = planned(asked)
    assert bool(advice.problems(made)) is not made.fits
    assume(not made.fits)
    for remedy in advice.remedies(made):
        assert remedy.old == asked[remedy.setting]
        assert planned({**asked, remedy.setting: remedy.new}).fits


MORE = ["voxtral_stage0_sequences", "voxtral_stage0_context", "guard_sequences", "guard_context", "gpu_headroom_gib"]


@given(WISHES, st.sampled_from(MORE))
def test_asking_for_more_never_makes_a_plan_fit_and_never_lacks_less(asked: dict[str, Any], setting: str) -> None:
    # A Whisper that moves to the CPU would hide it.
    settled = {**asked, "agent_whisper_device": planned(asked).whisper_device}
    less, more = planned(settled), planned({**settled, setting: asked[setting] + 64})
    assert less.fits or not more.fits
    assert more.shortfall >= less.shortfall


@given(WISHES)
def test_the_callers_it_names_fit_and_one_more_does_not(asked: dict[str, Any]) -> None:
    made = planned(asked)

    def carries(callers: int) -> bool:
        calls = {"voxtral_stage0_sequences": callers, "guard_sequences": callers}
        return planned({**asked, **calls, "agent_whisper_device": made.whisper_device}).fits

    assert made.callers == 0 or carries(made.callers)
    assert made.callers == 512 or not carries(made.callers + 1)


def test_the_default_is_the_sum_that_is_made_by_hand(settings: Settings) -> None:
    """Weights, KV cache, one step's network and sampler, CUDA graphs (Voxtral alone), context and libraries."""
    sums = {
        "vllm-voxtral stage 0": 8_004_752_248
        + 4 * (4096 + 16) * 106_496
        + 4096 * (3 * 9216 + 2 * 3072) * 2
        + 4 * 131_072 * 26
        + 4 * 28 * MIB
        + 500 * MIB,
        "vllm-voxtral stage 1": int(1.55 * GIB),
        "vllm-guard": 2_996_982_344
        + 4 * (8192 + 16) * 32_768
        + 2048 * (3 * 8192 + 2 * 2048) * 2
        + 4 * 128_256 * 26
        + 500 * MIB,
        "whisper (voice-agent)": int(3_087_284_237 * 1.03),
    }
    (card,) = settings.plan.cards
    assert {process.name: process.need.peak for process in card.processes} == sums
    assert [process.mib for process in card.processes] == [10_194, 1_588, 4_509, 3_033]
    assert [process.utilisation for process in card.processes] == [0.444, 0.071, 0.192, None]
    assert (card.peak, card.free) == (sum(sums.values()), card.card.usable - sum(sums.values()))
    assert card.peak - card.at_rest == 290_455_552 + 130_779_136  # what one step takes is given back
    assert settings.plan.fits
    assert settings.plan.callers == 6


def test_what_must_be_free_is_in_whole_mib_and_never_less_than_the_peak() -> None:
    sizes = (1, 3 * MIB, 3 * MIB + 1)
    assert [GpuProcess("", Need(other=size)).mib for size in sizes] == [1, 3, 4]


def test_the_headroom_is_wanted_to_the_byte(settings: Settings) -> None:
    made = settings.plan
    free = made.cards[0].free
    exact = make(replace(made.wishes, headroom=free, whisper_device="cuda"))
    assert (exact.fits, exact.shortfall) == (True, 0)
    assert make(replace(exact.wishes, headroom=free + 1)).shortfall == 1


@pytest.mark.parametrize(("share", "shortfall"), [(0.9995, 0), (0.9996, 100), (1.0, 500)])
def test_a_share_that_is_rounded_up_must_be_free_too(share: float, shortfall: int) -> None:
    """Without headroom the card is full but for a byte, but vLLM asks for a share of it, to the next whole byte."""
    card = replace(measured(1024), usable=1_000_001)
    process = GpuProcess("", Need(weights=999_500, context=500), share)
    assert CardPlan(card, (process,), 0).shortfall == shortfall


def test_whisper_is_on_the_card_where_it_fits_beside_the_engines(data: dict[str, Any]) -> None:
    assert parse(data).plan.whisper_device == "cuda"
    assert parse({**data, "gpu_headroom_gib": 4}).plan.whisper_device == "cpu"
    assert parse({**data, "agent_whisper_device": "cpu"}).plan.whisper_device == "cpu"
    with pytest.raises(Exception, match=r"agent_whisper_device: cuda -> cpu frees 2.96 GiB"):
        parse({**data, "gpu_headroom_gib": 4, "agent_whisper_device": "cuda"})


def test_finding_06_a_guard_with_far_too_many_sequences_is_refused_with_the_way_out(data: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="guard_sequences: card 0") as caught:
        parse({**data, "guard_sequences": 160})
    message = str(caught.value)
    assert "GiB more" in message
    ways = "guard_sequences: 160 -> 22 frees 35.00 GiB; guard_context: 8192 -> 1024 frees 35.00 GiB"
    assert f"cheapest first, any one of these fits: {ways}" in message


def test_every_kind_of_remedy_is_named_the_cheapest_first(data: dict[str, Any]) -> None:
    """A twentieth of a GiB is too much: each of them alone makes room for it."""
    crowded = {"voxtral_stage0_sequences": 11, "agent_whisper_device": "cuda", "gpu_headroom_gib": 0.3}
    made = typed({**data, **crowded})[0].plan
    assert 0 < made.shortfall < GIB / 20
    assert [str(each) for each in advice.remedies(made)] == [
        "voxtral_stage0_context: 4096 -> 3840 frees 0.30 GiB",
        "guard_context: 8192 -> 7680 frees 0.06 GiB",
        "voxtral_stage0_sequences: 11 -> 10 frees 0.41 GiB",
        "guard_sequences: 4 -> 3 frees 0.25 GiB",
        "voxtral_stage0_eager: False -> True frees 0.14 GiB",
        "agent_whisper_device: cuda -> cpu frees 2.96 GiB",
        "guard_placement: gpu0 -> gpu1 frees 4.40 GiB",
    ]


def test_the_second_card_is_named_by_its_own_setting(data: dict[str, Any]) -> None:
    (problem,) = advice.problems(typed({**data, "guard_placement": "gpu1", "guard_sequences": 160})[0].plan)
    assert problem.startswith("guard_sequences: card 1 (L4, 22.03 GiB usable) would have to give")
    assert "guard_sequences: 160 -> 67 frees 23.58 GiB" in problem


def test_weights_that_the_catalog_pins_no_size_of_count_as_those_that_are_meant(data: dict[str, Any]) -> None:
    catalog = {name: {**model, "files": {}} for name, model in data["weights_catalog"].items()}
    assert planned({"weights_catalog": catalog}) == planned({})
    pinned = {**catalog["llama-guard-3-1b"], "files": {"model.safetensors": {"size": 2_996_982_344 + MIB}}}
    larger = planned({"weights_catalog": {**catalog, "llama-guard-3-1b": pinned}})
    assert larger.cards[0].peak == planned({}).cards[0].peak + MIB


def test_where_no_single_setting_helps_the_message_says_what_may(data: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=r"no single setting makes it fit: .* take a larger card \(gpu_card\)"):
        parse({**data, "gpu_card": "4096"})


@pytest.mark.parametrize(("key", "longest"), [("voxtral_stage0", 65_536), ("guard", 131_072)])
def test_a_context_beyond_the_models_own_is_refused(data: dict[str, Any], key: str, longest: int) -> None:
    room = {**data, f"{key}_sequences": 1, "gpu_card": "81559"}
    assert parse({**room, f"{key}_context": longest}).plan.fits
    with pytest.raises(Exception, match=f"{key}_context: {longest + 1} tokens are more than the model's own {longest}"):
        parse({**room, f"{key}_context": longest + 1})


def test_a_guard_elsewhere_frees_its_part_of_the_card(data: dict[str, Any]) -> None:
    here, second = parse(data).plan, parse({**data, "guard_placement": "gpu1"}).plan
    away = parse({**data, "guard_placement": "https://guard.internal:8000"}).plan
    assert here.guard is not None
    assert second.cards[0].peak == away.cards[0].peak == here.cards[0].peak - here.guard.need.peak
    assert [process.name for process in second.cards[1].processes] == ["vllm-guard"]
    assert away.guard is None
    assert second.callers > here.callers


def test_sessions_are_the_least_that_any_of_the_three_carries(data: dict[str, Any]) -> None:
    assert sessions(parse(data).plan) == 4
    assert sessions(parse({**data, "voxtral_stage0_sequences": 3}).plan) == 3
    assert sessions(parse({**data, "guard_sequences": 3}).plan) == 3
    elsewhere = {"guard_placement": "https://guard.internal:8000", "guard_sequences": 3}
    assert sessions(parse({**data, **elsewhere}).plan) == 4
    assert sessions(parse({**data, "agent_whisper_device": "cpu"}).plan) == 1
    assert sessions(parse({**data, "agent_max_sessions": 7}).plan) == 7


def test_the_host_of_16_gib_carries_the_default(data: dict[str, Any]) -> None:
    """A g6.xlarge's MemTotal is at least 15 GiB of its 16; the sums are those of docs/decisions/gpu-memory.md."""
    turbo = {"agent_whisper_model": "faster-whisper-large-v3-turbo"}
    for changes, total, agent in (
        ({"agent_whisper_device": "cpu"}, 12.1, (3012 + 590 + 66) * MIB),
        ({"agent_whisper_device": "cuda"}, 11.5, (2261 + 590 + 4 * 66) * MIB),
        # In proportion to model.bin.
        (turbo, 10.5, 2261 * MIB * TURBO_FILE // LARGE_V3_FILE + (590 + 4 * 66) * MIB),
    ):
        memory = host_memory(parse({**data, **changes}).plan)
        assert round(memory.total / GIB, 1) == total
        assert memory.parts["voice-agent"] == agent
        assert memory.agent_limit == int(1.5 * agent)
    assert host_memory(parse({**data, "guard_placement": "https://guard.internal:8000"}).plan).parts["vllm-guard"] == 0


def test_whisper_hears_one_caller_on_the_cpu_and_several_on_the_card() -> None:
    assert callers_heard("cpu", LARGE_V3_FILE) == 1
    assert callers_heard("cuda", LARGE_V3_FILE) == 5
    assert callers_heard("cuda", TURBO_FILE) == 9
