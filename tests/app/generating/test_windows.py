"""Sums of the same traffic: nothing is lost that a sum can say."""

from collections import Counter
from typing import Any

import pytest

from rollbackd.app.generating.plans import draw
from rollbackd.app.generating.scenarios import SCENARIOS
from rollbackd.app.generating.schedule import Timed
from rollbackd.app.generating.stream import events
from rollbackd.app.generating.windows import summed
from tests.app.generating.measuring import START_MS, named

PLAN = draw(SCENARIOS["errors-canary"], seed=2, start_ms=START_MS, duration_ms=900_000)


@pytest.fixture(scope="module")
def whole() -> list[Timed]:
    return list(events(PLAN))


@pytest.fixture(scope="module")
def sums(whole: list[Timed]) -> list[Timed]:
    return list(summed(iter(whole)))


def last_of(sums: list[Timed], metric: str) -> dict[tuple[str, str], float]:
    """The last value of a counter, by arm and by its one other label."""
    found: dict[tuple[str, str], float] = {}
    for event in named(sums, "http.window"):
        if metric in event["values"]:
            (label,) = event["labels"].values()
            value = event["values"][metric]
            assert value >= found.get((event["arm"], label), 0)
            found[event["arm"], label] = value
    return found


def until_the_last_window(whole: list[Timed], sums: list[Timed]) -> list[dict[str, Any]]:
    last_ms = max(at_ms for at_ms, event in sums if event["event"] == "http.window")
    return [e for at_ms, e in whole if e["event"] == "answer.served" and at_ms < last_ms]


def test_requests_are_counted_by_arm_and_code(whole: list[Timed], sums: list[Timed]) -> None:
    """Counters only rise, and end at what was served."""
    served = Counter((e["arm"], str(e["code"])) for e in until_the_last_window(whole, sums))
    assert last_of(sums, "rag_requests_total") == served


def test_latencies_are_in_the_buckets(whole: list[Timed], sums: list[Timed]) -> None:
    """A request is in the bucket of each bound that it did not take longer than."""
    buckets = last_of(sums, "rag_e2e_latency_seconds_bucket")
    latencies = [
        e["values"]["latency_seconds"]
        for e in until_the_last_window(whole, sums)
        if e["arm"] == "canary" and "values" in e and "labels" not in e
    ]
    for bound in (0.3, 1.0, 10.0):
        assert buckets["canary", str(bound)] == sum(each <= bound for each in latencies)
    assert buckets["canary", "+Inf"] == len(latencies)


def test_scores_are_of_each_window(whole: list[Timed], sums: list[Timed]) -> None:
    """With the pins of the arm, and the number of answers behind them."""
    windows = named(sums, "quality.window")
    solved = [e for e in until_the_last_window(whole, sums) if "delta_s" in e.get("values", {})]
    assert sum(each["values"]["answers"] for each in windows) == len(solved)
    assert all(0.3 < each["values"]["delta_s_p50"] < 0.36 for each in windows)
    assert {each["pins"]["PROMPT_VER"] for each in windows} == {
        e["pins"]["PROMPT_VER"] for e in solved
    }


def test_what_is_not_about_single_answers_stays(whole: list[Timed], sums: list[Timed]) -> None:
    """Answers and cache reads go, the rest is as it was; the histogram has a baseline, too."""
    before, after = (Counter(e["event"] for _, e in each) for each in (whole, sums))
    assert "answer.served" not in after
    assert "cache.event" not in after
    for name in set(before) - {"answer.served", "cache.event"}:
        assert after[name] == before[name]
    (pinned,) = named(sums, "baseline.pinned")
    usual = pinned["baseline"]
    assert usual["rag_e2e_latency_seconds"] == usual["latency_seconds"]
    assert [at for at, _ in sums] == sorted(at for at, _ in sums)
