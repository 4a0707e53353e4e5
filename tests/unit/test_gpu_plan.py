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
from voicestack.gpu.cards import CARDS
from voicestack.gpu.memory import bytes_per_token
from voicestack.gpu.plan import CardPlan, Device, Plan, Wishes, make
from voicestack.gpu.ram import LARGE_V3_FILE, ram
from voicestack.gpu.speed import callers_heard
from voicestack.gpu.units import GIB
from voicestack.settings.load import parse
from voicestack.settings.memory import host_memory, sessions
from voicestack.settings.model import Settings

DEFAULT = parse(default_data()).plan.wishes

WISHES = st.builds(
    replace,
    st.just(DEFAULT),
    card=st.sampled_from(list(CARDS.values())),
    headroom=st.integers(0, 6 * GIB),
    stage0_sequences=st.integers(1, 64),
    stage0_context=st.integers(512, 70_000),
    stage0_eager=st.booleans(),
    guard_sequences=st.integers(1, 256),
    guard_context=st.integers(512, 140_000),
    guard_eager=st.booleans(),
    guard_placement=st.sampled_from(["gpu0", "gpu1", "http://10.0.0.7:8000"]),
    whisper_device=st.sampled_from(["auto", "cpu", "cuda"]),
)


def assert_vllm_starts(card: CardPlan) -> None:
    """vLLM's own checks (facts: vllm-and-models.md, section 4), each one started last, all others at their most."""
    for process in card.processes:
        if process.utilisation is None:
            continue
        assert 0 < process.utilisation <= 1
        others = sum(other.need.peak for other in card.processes if other is not process)
        free = card.card.usable - others - process.need.context
        assert free >= math.ceil(card.card.usable * process.utilisation)
        assert free >= process.need.budget


@given(WISHES)
def test_what_the_plan_accepts_vllm_accepts(asked: Wishes) -> None:
    made = make(asked)
    assume(made.fits)
    for card in made.cards:
        assert_vllm_starts(card)
        assert card.free >= asked.headroom
    # A KV cache that cannot hold one sequence of the longest allowed length is refused, and so is a longer one.
    assert made.stage0.kv_cache_bytes >= asked.stage0_context * bytes_per_token(asked.voxtral.dimensions)
    assert asked.stage0_context <= asked.voxtral.dimensions.longest
    if made.guard is not None:
        assert made.guard.kv_cache_bytes >= asked.guard_context * bytes_per_token(asked.guard.dimensions)
        assert asked.guard_context <= asked.guard.dimensions.longest


@given(WISHES)
def test_what_the_plan_refuses_it_explains_and_what_it_advises_fits(asked: Wishes) -> None:
    made = make(asked)
    assert bool(advice.problems(made)) is not made.fits
    assume(not made.fits)
    fields = {key: field for field, key in advice.KEYS.items()}
    for change in advice.changes(made):
        if change.setting == "gpu_card":
            assert make(replace(asked, card=CARDS[str(change.new)])).fits
        else:
            assert make(replace(asked, **{fields[change.setting]: change.new})).fits  # type: ignore[arg-type]


@given(WISHES, st.sampled_from(["stage0_sequences", "stage0_context", "guard_sequences", "guard_context", "headroom"]))
def test_asking_for_more_never_makes_a_plan_fit(asked: Wishes, field: str) -> None:
    more = replace(asked, **{field: getattr(asked, field) + 64})
    assert make(asked).fits or not make(more).fits
    assert make(more).shortfall >= make(asked).shortfall or asked.whisper_device == "auto"


@given(WISHES)
def test_a_larger_card_of_the_same_family_never_fits_less(asked: Wishes) -> None:
    larger = replace(asked.card, usable=asked.card.usable + GIB)
    assume(larger.usable < 70 * GIB)
    assert not make(asked).fits or make(replace(asked, card=larger)).fits


@given(WISHES)
def test_the_callers_it_names_fit_and_one_more_does_not(asked: Wishes) -> None:
    made = make(asked)
    count = made.callers

    def with_callers(callers: int) -> Plan:
        device = made.whisper_device
        return make(replace(asked, stage0_sequences=callers, guard_sequences=callers, whisper_device=device))

    assert count == 0 or with_callers(count).fits
    assert not with_callers(count + 1).fits or count == 512


def test_the_default_leaves_the_headroom_on_an_l4(settings: Settings) -> None:
    made = settings.plan
    assert made.fits
    assert made.cards[0].card.name == "L4"
    assert made.cards[0].free >= 1.5 * GIB


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
    assert "cheapest first, any one of these fits: guard_sequences: 160 -> 22 frees" in message
    assert "gpu_card: L4 -> H100" in message


def test_a_context_beyond_the_models_own_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="guard_context: 200000 tokens are more than the model's own 131072"):
        parse({**data, "guard_context": 200_000, "guard_sequences": 1, "gpu_card": "H100"})


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
    assert sessions(parse({**data, "guard_sequences": 3}).plan) == 3
    assert sessions(parse({**data, "agent_whisper_device": "cpu"}).plan) == 1
    assert sessions(parse({**data, "agent_max_sessions": 7}).plan) == 7


def test_the_host_of_16_gib_carries_the_default(data: dict[str, Any]) -> None:
    """A g6.xlarge's MemTotal is at least 15 GiB of its 16."""
    for device in ("cpu", "cuda"):
        memory = host_memory(parse({**data, "agent_whisper_device": device}).plan)
        assert memory.total < 14 * GIB
        assert memory.parts["voice-agent"] < memory.agent_limit < 6 * GIB


@given(st.integers(1, 5 * GIB), st.integers(1, 100), st.booleans(), st.sampled_from(["cpu", "cuda"]))
def test_more_calls_and_a_larger_whisper_take_more_of_the_host(
    file: int, calls: int, guard_is_here: bool, device: Device
) -> None:
    base = ram(whisper_file=file, device=device, sessions=calls, guard_is_here=guard_is_here).total
    assert ram(whisper_file=file, device=device, sessions=calls + 1, guard_is_here=guard_is_here).total > base
    assert ram(whisper_file=file + 1024, device=device, sessions=calls, guard_is_here=guard_is_here).total > base
    assert callers_heard(device, file + 1024) <= callers_heard(device, file)


def test_whisper_hears_one_caller_on_the_cpu_and_several_on_the_card() -> None:
    assert callers_heard("cpu", LARGE_V3_FILE) == 1
    assert callers_heard("cuda", LARGE_V3_FILE) == 5
