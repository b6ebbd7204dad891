from itertools import islice, takewhile
from pathlib import Path
from statistics import fmean, quantiles

import pytest

from rollbackd.cli.demo.drill import THRESHOLD
from rollbackd.cli.demo.observer import DRIFT
from rollbackd.cli.demo.recording import Outcome, Request, Rollout, record

ROLLOUT = Rollout()


def requests(rollout: Rollout, minutes: float) -> list[Request]:
    return list(takewhile(lambda r: r.at_ms < minutes * 60_000, record(rollout)))


def p95(values: list[float]) -> float:
    return quantiles(values, n=20)[-1]


def test_the_same_seed_is_the_same_recording() -> None:
    """To the last bit, and another seed is another one."""
    first, again = (list(islice(record(Rollout(seed=3)), 2_000)) for _ in range(2))
    assert first == again
    assert first != list(islice(record(Rollout(seed=4)), 2_000))


def test_the_recording_is_known_by_heart() -> None:
    """A change of the generator is a change of the demo, and shows here."""
    assert next(record(ROLLOUT)) == Request(
        at_ms=24,
        question=77,
        bucket=0.3948234964231735,
        writes=True,
        baseline=Outcome(delta_s=0.3377, coverage=0.82, latency_ms=622.3, code=200),
        canary=Outcome(delta_s=0.3657, coverage=0.8668, latency_ms=327.8, code=200),
    )


def test_time_goes_forward_at_the_rate_of_the_rollout() -> None:
    """Requests come in order, as many as announced."""
    played = requests(ROLLOUT, 10)
    assert [r.at_ms for r in played] == sorted(r.at_ms for r in played)
    assert len(played) == pytest.approx(600 * ROLLOUT.requests_per_second, rel=0.05)


def test_the_canary_is_as_good_as_the_baseline_until_it_is_released() -> None:
    """The drift comes with the rollout, not before."""
    before = [r for r in requests(ROLLOUT, 3) if r.at_ms < ROLLOUT.canary_from_ms]
    drift = p95([r.canary.delta_s for r in before]) - p95([r.baseline.delta_s for r in before])
    assert abs(drift) < 0.02


def test_the_canary_at_its_worst_breaks_the_runbooks_limits_in_quality_alone() -> None:
    """ΔS drift p95 over 0.15 and coverage under 0.60, errors and latency as before."""
    rotten = ROLLOUT.canary_from_ms + ROLLOUT.decay_ms
    after = [r for r in requests(ROLLOUT, 16) if r.at_ms > rotten]
    drift = p95([r.canary.delta_s for r in after]) - p95([r.baseline.delta_s for r in after])
    assert drift == pytest.approx(0.25, abs=0.02)
    assert fmean(r.canary.coverage for r in after) < 0.60
    assert fmean(r.baseline.coverage for r in after) > 0.70
    assert fmean(r.canary.code == 500 for r in after) < 0.005
    latency = p95([r.canary.latency_ms for r in after]) / p95(
        [r.baseline.latency_ms for r in after]
    )
    assert latency == pytest.approx(1.0, abs=0.05)


def test_the_baseline_meets_the_exit_targets_all_the_time() -> None:
    """Errors stay under 0.5 % in any thousand requests, or the demo could not end."""
    codes = [r.baseline.code for r in requests(ROLLOUT, 40)]
    worst = max(codes[i : i + 1_000].count(500) for i in range(0, len(codes) - 1_000, 100))
    assert worst < 5


def test_the_plotted_series_is_the_one_that_the_shipped_rule_reads() -> None:
    """With the threshold of the rule, or the plot would tell another story."""
    rules = (Path(__file__).parents[2] / "rules" / "when-to-pull.yaml").read_text()
    shipped = " ".join(rules.split())
    rule = shipped[shipped.index("alert: QualityDrift") :]
    assert f"max by (service, region) ( {DRIFT} and count_over_time(" in rule
    assert f") > {THRESHOLD} unless" in rule
