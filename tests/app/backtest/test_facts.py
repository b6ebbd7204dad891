"""Recorded single facts go through the detectors that run live."""

from pathlib import Path
from typing import Any

import pytest

from tests.app.backtest.playing import PINS, START, decided, event, fired, pinned, played

DUPLICATES = """
groups:
  - name: g
    interval: 15s
    rules:
      - alert: DuplicateEffects
        expr: sum by (service, region) (increase(duplicate_effects_total[5m])) > 0
        labels: {branch: duplicate_effects}
      - alert: Mixed
        expr: max by (service, region) (mixed_versions) > 1
        labels: {branch: quality_regression}
"""


def receipt(at: float, key: str, effect: str) -> dict[str, Any]:
    return {**event(at), "event": "effect.receipt", "key": key, "effect_id": effect}


def answer(at: float, **pins: str) -> dict[str, Any]:
    return {**event(at), "user": f"u-{at}", "pins": {**PINS, **pins}}


def test_a_recorded_duplicate_is_decided_on(tmp_path: Path) -> None:
    told = [receipt(10, "k", "e-1"), receipt(20, "k", "e-1"), receipt(30.01, "k", "e-2")]
    findings = played(tmp_path, [pinned(), *told], rules=DUPLICATES)
    assert fired(findings) == [(30.1, "DuplicateEffects", "firing")]
    assert decided(findings) == [(30.1, "trigger_fired")]


@pytest.mark.parametrize(("last", "rules"), [("a1", []), ("b2", ["Mixed"])])
def test_recorded_answers_are_compared(tmp_path: Path, last: str, rules: list[str]) -> None:
    told = [answer(10), answer(11, INDEX_HASH=last)]
    findings = played(tmp_path, [pinned(), *told], rules=DUPLICATES)
    assert [rule for _, rule, _ in fired(findings)] == rules


def test_after_the_flip_of_the_dry_run_mixed_answers_are_its_own(tmp_path: Path) -> None:
    """K22 in a backtest: the dry run flips, and old and new answers side by side do not count."""
    told = [answer(10), answer(11, INDEX_HASH="b2"), *[answer(12 + n) for n in range(30)]]
    findings = played(tmp_path, [pinned(), *told], rules=DUPLICATES)
    assert [state for _, rule, state in fired(findings) if rule == "Mixed"] == [
        "firing",
        "inactive",
    ]
    (_, began), (_, ended) = [(rule, at) for at, rule, _ in fired(findings)]
    assert ended - began < 5


def test_a_recording_of_facts_alone_has_its_times(tmp_path: Path) -> None:
    findings = played(tmp_path, [receipt(0, "k", "e"), receipt(60, "j", "f")], rules=DUPLICATES)
    assert (findings.input.from_ms, findings.input.to_ms) == (START * 1_000, START * 1_000 + 60_000)
    assert findings.input.events == 2
