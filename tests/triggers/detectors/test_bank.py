"""All detectors together: one result however the facts are cut, bounds, partitions."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollbackd.model.facts import AnyFact
from rollbackd.model.labels import Scope
from rollbackd.settings.detectors import DetectorSettings
from rollbackd.triggers.detectors import DetectorBank
from rollbackd.triggers.detectors.emission import MOST_ARMS, Lines
from tests.triggers.detectors.facts import (
    EU,
    PINS,
    US,
    answer,
    at,
    call,
    decided,
    heartbeat,
    probe,
    read,
    receipt,
    retried,
    watched,
)

SECONDS = st.integers(-200, 200)
SCOPES = st.sampled_from([EU, US])
ARMS = st.sampled_from(["", "baseline", "canary"])
SHORT = st.sampled_from(["a", "b"])
SOME_PINS = st.sampled_from([PINS, {**PINS, "INDEX_HASH": "b2"}, {"PROMPT_VER": "p-2"}])
FACTS: st.SearchStrategy[Any] = st.one_of(
    st.builds(answer, SECONDS, ARMS, SCOPES, user=SHORT, claimed_arm=ARMS, pins=SOME_PINS),
    st.builds(receipt, SHORT, SHORT, SECONDS, scope=SCOPES, arm=ARMS),
    st.builds(read, SECONDS, scope=SCOPES, arm=ARMS, entry_pins=SOME_PINS, hit=st.booleans()),
    st.builds(call, SHORT, SECONDS, SHORT, scope=SCOPES, arm=ARMS),
    st.builds(heartbeat, SHORT, SECONDS, scope=SCOPES, arm=ARMS, pins=SOME_PINS),
    st.builds(probe, SHORT, st.sampled_from(["convergent", "chaotic"]), SECONDS, scope=SCOPES),
    st.builds(retried, st.integers(0, 60), SECONDS, scope=SCOPES),
    st.builds(decided, st.sampled_from(["new", "conflict"]), SECONDS, SCOPES),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(FACTS, max_size=40), st.integers(1, 7))
def test_batches_do_not_matter(facts: list[AnyFact], size: int) -> None:
    """What is told depends on the facts and their order alone."""
    whole, parts = DetectorBank(), DetectorBank()
    together = whole.take(facts, now_ms=at(300), origin="p")
    apart = [
        sample
        for first in range(0, len(facts), size)
        for sample in parts.take(facts[first : first + size], now_ms=at(300), origin="p")
    ]
    assert together == apart


@settings(max_examples=200, deadline=None)
@given(st.lists(FACTS, max_size=40))
def test_series_go_forward_in_time_and_counters_never_fall(facts: list[AnyFact]) -> None:
    newest: dict[Any, tuple[int, float]] = {}
    for sample in DetectorBank().take(facts, now_ms=at(100), origin="p"):
        before_ms, before = newest.get(sample.labels, (0, 0.0))
        assert before_ms <= sample.time_ms <= at(100)
        if dict(sample.labels)["__name__"].endswith("_total"):
            assert before <= sample.value
        newest[sample.labels] = sample.time_ms, sample.value


@settings(max_examples=100, deadline=None)
@given(st.lists(FACTS, min_size=1, max_size=20))
def test_a_partition_that_comes_back_says_what_it_said(facts: list[AnyFact]) -> None:
    """Refilled after a loss, the series are those of a new process, but for the table of keys."""
    bank = DetectorBank()
    first = bank.take(facts, now_ms=at(300), origin="p")
    bank.forget("p")
    again = bank.take(facts, now_ms=at(300), origin="p")
    keep = [s for s in first if dict(s.labels)["__name__"] != "duplicate_effects_total"]
    assert [s for s in again if dict(s.labels)["__name__"] != "duplicate_effects_total"] == keep


def test_a_fact_that_is_too_late_is_counted_once_however_many_refuse_it() -> None:
    seen = watched([answer(300, user="u", claimed_arm="canary"), decided("new", 300)])
    assert seen.bank.late == 0
    seen.take(answer(239.999, user="u", claimed_arm="canary"), decided("conflict", 239.999))
    assert seen.bank.late == 2
    assert seen.take(decided("conflict", 240)).bank.late == 2


def test_scopes_are_bounded_and_those_heard_of_last_stay() -> None:
    bank = DetectorBank(DetectorSettings(scopes=10))
    facts = [receipt("k", "e", n, scope=Scope("s", str(n))) for n in range(100)]
    bank.take(facts, now_ms=at(1_000), origin="p")
    assert bank.evicted()["duplicate_effects"] == 90
    again = bank.take(
        [receipt("k", "f", 100, scope=Scope("s", "99"))], now_ms=at(1_000), origin="p"
    )
    assert again[-1].value == 1


def test_arms_beyond_the_bound_share_a_series() -> None:
    lines = Lines(EU)
    for number in range(MOST_ARMS):
        lines.of("m", f"arm-{number}")
    assert lines.of("m", "one-more") is lines.of("m", "another")
    assert lines.of("m", "arm-3") is not lines.of("m", "one-more")


@pytest.mark.parametrize("seconds", [0, 300])
def test_no_fact_says_nothing(seconds: float) -> None:
    """Silence is not 0: without facts a series is not told again."""
    seen = watched([receipt("k", "e")])
    assert seen.take(now_s=seconds).samples == seen.samples[:1]
