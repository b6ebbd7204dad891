"""A corpus is half bad, the same for the same seed, and judged by the production rules."""

from collections import Counter

import pytest

from rollbackd.app.backtest.scoring import FalseCall
from rollbackd.app.generating.corpus import Task, Verdict, corpus, judge
from rollbackd.app.generating.scenario import Kind
from rollbackd.app.generating.scenarios import SCENARIOS
from rollbackd.app.generating.tallies import by_scenario, shortfalls, tally
from rollbackd.settings import default_settings


def test_half_are_bad_and_all_scenarios_take_turns() -> None:
    """No scenario is played twice as often as another of its kind."""
    tasks = corpus(1_000, seed=1, rate=20.0)
    names = Counter(task.scenario for task in tasks)
    assert set(names) == set(SCENARIOS)
    for kind in Kind:
        counts = [names[each.name] for each in SCENARIOS.values() if each.kind is kind]
        assert sum(counts) == 500
        assert max(counts) - min(counts) <= 1
    assert len({task.seed for task in tasks}) > 990
    assert len({task.start_ms % 86_400_000 // 3_600_000 for task in tasks}) == 24


def test_the_same_seed_is_the_same_corpus() -> None:
    """And a larger one begins with the smaller one."""
    assert corpus(50, seed=4, rate=5.0) == corpus(60, seed=4, rate=5.0)[:50]
    assert corpus(50, seed=4, rate=5.0) != corpus(50, seed=5, rate=5.0)


def test_a_bad_rollout_is_found_and_a_healthy_one_is_left_alone() -> None:
    """The real engine, the shipped rules, and the plan that the task names."""
    chosen = [SCENARIOS["latency-doubles"], SCENARIOS["healthy-prompt"]]
    tasks = corpus(2, seed=3, rate=10.0, scenarios=chosen)
    heard: list[int] = []
    bad, healthy = judge(tasks, default_settings(), jobs=1, on_progress=heard.append)
    assert heard == [2]
    assert (bad.labelled, bad.found, bad.calls, bad.right) == (1, 1, 1, 1)
    assert bad.detect_ms is not None
    assert 0 < bad.detect_ms < 300_000
    assert (healthy.labelled, healthy.calls, healthy.undecoded) == (0, 0, 0)
    assert healthy.events > 10_000


def a_verdict(scenario: str, *, detect_ms: int | None = None, wrong: int = 0) -> Verdict:
    labelled = int(SCENARIOS[scenario].kind is Kind.BAD)
    found = int(detect_ms is not None)
    return Verdict(
        task=Task(scenario=scenario, seed=1, start_ms=0, rate=1.0),
        events=10,
        undecoded=0,
        why="",
        calls=found + wrong,
        right=found,
        labelled=labelled,
        found=found,
        detect_ms=detect_ms,
        rule="QualityDrift" if found else "",
        false_calls=[
            FalseCall(decision=1, at_ms=0, scope="rag/eu", branch="b", rule="Hasty", note="")
        ]
        * wrong,
        misses=[],
    )


VERDICTS = [
    a_verdict("delta-s-drift", detect_ms=10_000),
    a_verdict("delta-s-drift", detect_ms=30_000),
    a_verdict("lambda-flips"),
    a_verdict("healthy-prompt", wrong=1),
    a_verdict("healthy-prompt"),
]


def test_verdicts_add_up() -> None:
    """Right of all calls, found of all labelled, and how long it took."""
    whole = tally("all", VERDICTS)
    assert (whole.rollouts, whole.labelled, whole.found) == (5, 3, 2)
    assert (whole.precision, whole.recall) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert (whole.detect_median_ms, whole.detect_p95_ms) == (20_000, pytest.approx(29_000))
    assert (whole.found_by, whole.wrong_calls_by) == ({"QualityDrift": 2}, {"Hasty": 1})


def test_each_scenario_has_a_line_in_the_order_of_the_catalogue() -> None:
    """What has nothing to count is undefined."""
    drift, flips, healthy = by_scenario(VERDICTS)
    assert (drift.name, drift.line, drift.recall, drift.precision) == ("delta-s-drift", "W1", 1, 1)
    assert (flips.recall, flips.precision, flips.detect_median_ms) == (0, None, None)
    assert (healthy.kind, healthy.recall, healthy.precision) == ("healthy", None, 0)


@pytest.mark.parametrize(
    ("precision", "recall", "missed"),
    [
        (None, None, []),
        (0.6, 0.6, []),
        (0.99, None, ["precision is 0.6667, wanted 0.99"]),
        (None, 0.7, ["recall is 0.6667, wanted 0.7"]),
    ],
)
def test_what_is_under_its_minimum_is_named(
    precision: float | None, recall: float | None, missed: list[str]
) -> None:
    """Only what was asked for."""
    whole = tally("all", VERDICTS)
    assert shortfalls(whole, min_precision=precision, min_recall=recall) == missed


def test_a_quiet_healthy_corpus_has_no_shortfall() -> None:
    """Nothing to find and nothing called is what was wanted."""
    quiet = tally("all", [a_verdict("healthy-prompt")])
    assert shortfalls(quiet, min_precision=0.99, min_recall=0.99) == []
