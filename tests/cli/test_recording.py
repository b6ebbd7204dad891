from collections import Counter
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from msgspec.structs import replace

from rollbackd.app.generating.scenarios import SCENARIOS
from rollbackd.app.generating.schedule import Timed
from rollbackd.app.generating.stream import events
from rollbackd.app.generating.switches import Switches
from rollbackd.cli.demo.drill import DEADLINE_SECONDS, SPEED, THRESHOLD
from rollbackd.cli.demo.observer import DRIFT
from rollbackd.cli.demo.recording import CANARY_SHARE, PLAN
from rollbackd.promql.values import quantile_of

MINUTE = 60_000
#: When everything that goes wrong has come to its full size.
ROTTEN_MS = max(each.from_ms + each.ramp_ms for each in PLAN.injections)


@lru_cache(maxsize=1)
def played() -> list[Timed]:
    """The demo as nobody saves it: the canary gets its users and keeps them."""

    def read(_scope: object, at_ms: int) -> Switches:
        return Switches(canary_share=CANARY_SHARE if at_ms >= PLAN.rollout_ms else 0.0)

    return list(events(replace(PLAN, duration_ms=20 * MINUTE), read))


def answers(arm: str, since_ms: int, until_ms: int = PLAN.end_ms) -> list[dict[str, Any]]:
    return [
        e
        for at_ms, e in played()
        if since_ms <= at_ms < until_ms and e["event"] == "answer.served" and e["arm"] == arm
    ]


def measured(found: list[dict[str, Any]], metric: str) -> list[float]:
    return [e["values"][metric] for e in found if metric in e.get("values", {})]


def test_the_recording_is_of_the_catalogue() -> None:
    """With its own times, which leave the demo short and its window of health long enough."""
    scenario = SCENARIOS[PLAN.scenario.name]
    assert replace(PLAN.scenario, injections=()) == replace(scenario, injections=())
    assert [(e.quantity, e.by, e.arm) for e in PLAN.scenario.injections] == [
        (e.quantity, e.by, e.arm) for e in scenario.injections
    ]
    assert PLAN.start_ms < PLAN.pinned_ms < PLAN.rollout_ms < PLAN.injections[0].from_ms
    assert ROTTEN_MS - PLAN.rollout_ms < 5 * MINUTE
    assert PLAN.duration_ms > DEADLINE_SECONDS * SPEED * 1_000


def test_the_recording_is_known_by_heart() -> None:
    """A change of the generator is a change of the demo, and shows here."""
    assert {e.quantity: round(e.by, 3) for e in PLAN.injections} == {
        "delta_s": 0.255,
        "coverage": -0.1,
    }
    first = next(e for _, e in played() if e["event"] == "answer.served")
    assert (first["ts"] * 1_000 - PLAN.start_ms, first["user"]) == (57, "u0467")
    assert first["values"] == {
        "delta_s": 0.3252, "coverage": 0.8128, "latency_seconds": 0.2474, "tokens": 794,
        "citations": 4,
    }  # fmt: skip


def test_the_known_good_is_enough_for_the_rules() -> None:
    """200 answers, measured before the rollout."""
    (pinned,) = (e for _, e in played() if e["event"] == "baseline.pinned")
    assert pinned["baseline"]["delta_s"]["count"] >= 200


def test_before_the_rollout_there_is_no_canary() -> None:
    assert {e.get("arm", "baseline") for at, e in played() if at < PLAN.rollout_ms} == {"baseline"}


def test_the_canary_is_as_good_as_the_baseline_until_the_onset() -> None:
    """The drift can be seen to begin."""
    span = PLAN.rollout_ms, PLAN.injections[0].from_ms
    canary, baseline = (measured(answers(arm, *span), "delta_s") for arm in ("canary", "baseline"))
    assert abs(quantile_of(0.5, canary) - quantile_of(0.5, baseline)) < 0.03


def test_the_canary_at_its_worst_breaks_the_runbooks_limit_in_quality_alone() -> None:
    """ΔS drift p95 over 0.15 and less coverage, errors and latency as before."""
    canary, baseline = answers("canary", ROTTEN_MS), answers("baseline", ROTTEN_MS)
    delta_s = [quantile_of(0.95, measured(each, "delta_s")) for each in (canary, baseline)]
    assert delta_s[0] - delta_s[1] == pytest.approx(0.255, abs=0.02)
    assert delta_s[0] - delta_s[1] > THRESHOLD
    coverage = [fmean(measured(each, "coverage")) for each in (canary, baseline)]
    assert coverage[0] - coverage[1] == pytest.approx(-0.1, abs=0.02)
    latency = [quantile_of(0.95, measured(each, "latency_seconds")) for each in (canary, baseline)]
    assert latency[0] / latency[1] == pytest.approx(1.0, abs=0.1)
    assert Counter(e["code"] // 100 for e in canary)[5] / len(canary) < 0.005


def test_the_baseline_meets_the_exit_targets_all_the_time() -> None:
    """Errors stay under 0.5 % in any thousand requests, or the demo could not end."""
    failed = [e["code"] >= 500 for e in answers("baseline", 0)]
    worst = max(sum(failed[i : i + 1_000]) for i in range(0, len(failed) - 1_000, 100))
    assert worst < 5


def test_the_plotted_series_is_the_one_that_the_shipped_rule_reads() -> None:
    """With the threshold of the rule, or the plot would tell another story."""
    rules = (Path(__file__).parents[2] / "rules" / "when-to-pull.yaml").read_text()
    shipped = " ".join(rules.split())
    rule = shipped[shipped.index("alert: QualityDrift") :]
    assert f"max by (service, region) ( {DRIFT} and count_over_time(" in rule
    assert f") > {THRESHOLD} unless" in rule
