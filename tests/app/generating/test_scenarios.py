"""Each scenario breaks what it says it does, on the arm that it says, and nothing else."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from rollbackd.app.generating.conditions import Arm, Injection
from rollbackd.app.generating.scenario import Kind
from rollbackd.app.generating.scenarios import SCENARIOS
from tests.app.generating.measuring import Measure, broken, measured, named, played

#: What is measured to be wrong in each bad scenario, at a fixed seed.
BROKEN: dict[str, set[Measure]] = {
    "delta-s-drift": {("delta_s_p95_drift", "canary")},
    "delta-s-slow-drift": {("delta_s_p95_drift", "canary")},
    "index-drift": {("delta_s_p95_drift", "canary"), ("coverage", "canary")},
    "coverage-drop": {("coverage", "canary")},
    "lambda-flips": {("flips", "canary")},
    "tool-loops": {("loops", "canary")},
    "errors-canary": {("errors", "canary")},
    "errors-everywhere": {("errors", "baseline"), ("errors", "canary")},
    "throttle-storm": {("throttled", "baseline"), ("throttled", "canary")},
    "latency-doubles": {("latency_p99_ratio", "canary")},
    "latency-tail": {("latency_p99_ratio", "canary")},
    "cost-blow-up": {("tokens_ratio", "canary")},
    "cache-foreign-pins": {("foreign_entries", "baseline")},
    "cache-unkeyed": {("unkeyed_entries", "canary")},
    "cache-shadow": {("shadow_entries", "baseline"), ("shadow_entries", "canary")},
    "mixed-versions": {("versions", "baseline")},
    "sticky-breaks": {("users_on_both_arms", "")},
    "index-mismatch": {("odd_readers", "baseline")},
    "analyzer-mismatch": {("odd_readers", "baseline")},
    "double-effects": {("doubled_effects", "canary")},
    "conflict-rise": {("conflicts", "canary")},
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_breaks_what_it_says_and_nothing_else(name: str) -> None:
    """A healthy one breaks nothing; a bad one what its line of the runbook is about."""
    assert broken(measured(*played(name))) == BROKEN.get(name, set())


def test_bad_scenarios_name_a_line_of_the_runbook() -> None:
    """Every line from W1 to W11 has one, and so has cost."""
    lines = {each.line for each in SCENARIOS.values() if each.kind is Kind.BAD}
    assert lines == {"D3", *(f"W{number}" for number in range(1, 12))}
    assert set(BROKEN) == {each.name for each in SCENARIOS.values() if each.kind is Kind.BAD}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_page_lists_every_scenario(name: str) -> None:
    """With the words of the catalogue."""
    each = SCENARIOS[name]
    branch = f"`{each.branch}`" if each.branch else "any"
    middle = f" {each.line} | {branch} |" if each.kind is Kind.BAD else ""
    page = Path(__file__).parents[3] / "docs" / "generate.md"
    assert f"| `{name}` |{middle} {each.about} |" in page.read_text()


def test_a_quantity_that_does_not_exist_is_refused() -> None:
    """A typo would inject nothing."""
    with pytest.raises(ValueError, match="`latencies` is not a quantity"):
        Injection(quantity="latencies", by=(1, 2))


def test_the_magnitude_is_the_one_drawn() -> None:
    """ΔS rises by what the plan says, give or take the noise of the arm."""
    plan, stream = played("delta-s-drift")
    by = next(each.by for each in plan.injections if each.quantity == "delta_s")
    assert measured(plan, stream)["delta_s_p95_drift", "canary"] == pytest.approx(by, abs=0.02)


def test_a_slow_drift_is_slow() -> None:
    """Half way up its ramp, half of it is there."""
    plan, stream = played("delta-s-slow-drift")
    (drift,) = plan.injections
    middle = (drift.from_ms + drift.ramp_ms / 2) / 1_000
    delta_s = [
        event["values"]["delta_s"]
        for event in named(stream, "answer.served")
        if event["arm"] == Arm.CANARY
        and abs(event["ts"] - middle) < 15
        and "delta_s" in event.get("values", {})
    ]
    assert len(delta_s) > 50
    assert sum(delta_s) / len(delta_s) == pytest.approx(0.33 + drift.by / 2, abs=0.03)


def test_a_staged_rollout_goes_in_steps() -> None:
    """Its shares are those of the steps, and no user goes back."""
    plan, stream = played("staged-rollout")
    answers = named(stream, "answer.served")
    ends = [plan.rollout_ms / 1_000 + since for since, _ in plan.scenario.steps]
    for (since, until), (_, share) in zip(
        pairwise([*ends, plan.end_ms / 1_000]), plan.scenario.steps, strict=True
    ):
        arms = Counter(e["arm"] for e in answers if since <= e["ts"] < until)
        assert arms["canary"] / arms.total() == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("traffic-spike", 2.5, 5.5), ("one-user-storm", 1.6, 2.7), ("healthy-prompt", 0.8, 1.2)],
)
def test_load_rises_as_it_says(name: str, least: float, most: float) -> None:
    """The busiest minute after the rollout against the minute before it."""
    plan, stream = played(name)
    minutes = Counter(int(e["ts"] // 60) for e in named(stream, "answer.served"))
    began = plan.rollout_ms // 60_000
    peak = sum(sorted(n for at, n in minutes.items() if at >= began)[-2:]) / 2
    assert least <= peak / minutes[began - 1] <= most


def test_one_user_storms() -> None:
    """About half of all requests are his while it lasts, and he is on the baseline."""
    plan, stream = played("one-user-storm")
    during = next(each for each in plan.injections if each.quantity == "one_user")
    assert during.until_ms is not None
    answers = [
        event
        for event in named(stream, "answer.served")
        if during.from_ms <= event["ts"] * 1_000 < during.until_ms
    ]
    (user, count), *_ = Counter(event["user"] for event in answers).most_common()
    assert count / len(answers) == pytest.approx(during.by, abs=0.03)
    assert {event["arm"] for event in answers if event["user"] == user} == {"baseline"}


def test_cold_requests_say_so() -> None:
    """They are of the canary, soon after the rollout, and seconds slower."""
    plan, stream = played("cold-start")
    cold = [e for e in named(stream, "answer.served") if "labels" in e]
    assert len(cold) > 50
    assert {event["labels"]["cold_start"] for event in cold} == {"true"}
    assert {event["arm"] for event in cold} == {"canary"}
    assert all(0 <= event["ts"] * 1_000 - plan.rollout_ms < 75_000 for event in cold)
    assert min(e["values"]["latency_seconds"] for e in cold if "values" in e) > 2


def test_a_burst_is_over_soon() -> None:
    """Far over 2 % while it lasts, and calm again within two minutes."""
    plan, stream = played("throttle-burst")
    (burst,) = plan.injections
    assert burst.until_ms is not None
    answers = named(stream, "answer.served")

    def ratio(since_ms: int, until_ms: int) -> float:
        codes = [e["code"] for e in answers if since_ms <= e["ts"] * 1_000 < until_ms]
        return codes.count(429) / len(codes)

    assert ratio(burst.from_ms, burst.until_ms) > 0.03
    assert ratio(burst.until_ms, burst.until_ms + 60_000) < 0.01
    assert burst.until_ms - burst.from_ms <= 100_000


def test_late_events_keep_their_time() -> None:
    """They arrive up to 50 seconds after it, and within order of arrival."""
    plan, stream = played("late-data")
    lags = [at - e["ts"] * 1_000 for at, e in stream if e["event"] == "answer.served"]
    late = [lag for lag in lags if lag > 1]
    assert 0.02 < len(late) / len(lags) < plan.injections[0].by
    assert min(late) >= 3_000
    assert max(late) <= 50_000


def test_clocks_are_skewed_by_process() -> None:
    """A third of the events are off, all by the same."""
    plan, stream = played("clock-skew")
    skews = Counter(
        round(e["ts"] * 1_000 - at) for at, e in stream if e["event"] == "answer.served"
    )
    off = next(skew for skew, _ in skews.most_common() if abs(skew) > 1)
    assert off == int(plan.injections[0].by * 1_000)
    assert skews[off] / skews.total() == pytest.approx(0.33, abs=0.12)


def test_at_night_there_is_too_little_to_say() -> None:
    """Fewer canary answers in any five minutes than the rules ask for."""
    _, stream = played("night-trough")
    windows = Counter(
        e["ts"] // 300 for e in named(stream, "answer.served") if e["arm"] == "canary"
    )
    assert max(windows.values()) < 200


def test_a_retriever_that_restarts_is_silent_for_a_while() -> None:
    """Its heartbeats stop, and come back with the same index."""
    plan, stream = played("retriever-restart")
    beats = [e for e in named(stream, "retriever.heartbeat") if e["reader"].endswith("-2")]
    gaps = [after["ts"] - before["ts"] for before, after in pairwise(beats)]
    assert max(gaps) >= 40
    assert beats[-1]["ts"] > plan.end_ms / 1_000 - 20


def test_replayed_receipts_are_the_same() -> None:
    """Many come again; the effect id of a key never changes."""
    _, stream = played("replayed-receipts")
    receipts = Counter((e["key"], e["effect_id"]) for e in named(stream, "effect.receipt"))
    assert sum(count > 1 for count in receipts.values()) > 20
    assert len({key for key, _ in receipts}) == len(receipts)


def test_a_failover_moves_users_from_one_region_to_the_other() -> None:
    """One has nearly none left, the other about twice as many."""
    plan, stream = played("region-failover")
    answers = named(stream, "answer.served")
    moved_ms = plan.injections[0].from_ms + plan.injections[0].ramp_ms

    def rate(region: str, since_ms: int, until_ms: int) -> float:
        inside = (since_ms <= e["ts"] * 1_000 < until_ms for e in answers if e["region"] == region)
        return sum(inside) / (until_ms - since_ms)

    here, there = (scope.region for scope in plan.scopes)
    before = (plan.start_ms, plan.rollout_ms)
    after = (moved_ms, plan.end_ms)
    assert rate(here, *after) / rate(here, *before) == pytest.approx(2.0, abs=0.35)
    assert rate(there, *after) / rate(there, *before) < 0.1
