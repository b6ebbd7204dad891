"""Precision, recall and time to detect."""

from typing import Any

import pytest

from rollbackd.app.backtest.findings import Decision, Findings, Input, Joined, Transition
from rollbackd.app.backtest.labels import Label
from rollbackd.app.backtest.scoring import Score, score
from rollbackd.model.decisions import Reason
from rollbackd.model.triggers import RuleState


def call(at_ms: int, /, **changes: Any) -> Decision:
    facts: dict[str, Any] = {
        "number": 1, "at_ms": at_ms, "fired_at_ms": at_ms, "scope": "rag/eu", "branch": "q",
        "branches": ["q"], "rule": "R", "value": 1.0, "labels": {}, "expr": "",
        "reason": Reason.TRIGGER_FIRED, "until_ms": at_ms + 1_000,
    }  # fmt: skip
    return Decision(**{**facts, **changes})


def label(start_ms: int, end_ms: int, **changes: Any) -> Label:
    return Label(**{"scope": "rag/eu", "branch": "q", "start_ms": start_ms, "end_ms": end_ms,
                    **changes})  # fmt: skip


def scored(*decisions: Decision, labels: list[Label], transitions: Any = ()) -> Score:
    read = Input(sources=["r"], from_ms=0, to_ms=100_000, events=1, samples=1, bad=0)
    findings = Findings(
        input=read, rules=["R"], transitions=list(transitions), decisions=list(decisions)
    )
    return score(findings, labels)


def test_a_call_inside_a_label_is_right() -> None:
    """And finds it; the time to detect counts from its start."""
    result = scored(call(12_000), labels=[label(10_000, 20_000)])
    assert (result.precision, result.recall, result.f1) == (1, 1, 1)
    assert result.detect_median_ms == 2_000


@pytest.mark.parametrize(
    "change",
    [{"scope": "rag/us"}, {"branches": ["other"]}, {"at_ms": 9_999}, {"at_ms": 20_001}],
)
def test_scope_branch_and_time_have_to_fit(change: dict[str, Any]) -> None:
    """Else it is a false call, and the incident was missed."""
    decision = call(12_000, **change)
    result = scored(decision, labels=[label(10_000, 20_000)])
    assert (result.precision, result.recall, result.f1) == (0, 0, 0)
    assert [f.decision for f in result.false_calls] == [1]
    assert len(result.misses) == 1


def test_a_label_without_a_branch_takes_any() -> None:
    """Who labels does not have to know the tree."""
    result = scored(call(12_000, branches=["x"]), labels=[label(10_000, 20_000, branch="")])
    assert result.recall == 1


def test_a_branch_that_took_over_counts() -> None:
    """The decision ended there."""
    taken = call(12_000, branches=["x", "q"], branch="x")
    assert scored(taken, labels=[label(10_000, 20_000)]).precision == 1


def test_joining_an_open_incident_finds_but_calls_nothing() -> None:
    """The daemon was on it already."""
    joined = Joined(at_ms=51_000, rule="S", branch="q", value=1.0, answered=True)
    decision = call(12_000, joined=[joined])
    result = scored(decision, labels=[label(10_000, 20_000), label(50_000, 60_000)])
    assert (result.calls, result.recall) == (1, 1)
    assert [(f.rule, f.after_ms) for f in result.found] == [("R", 2_000), ("S", 1_000)]
    assert result.detect_p95_ms == pytest.approx(1_950)


def test_a_guardrail_that_said_no_is_no_call_but_the_reason_for_a_miss() -> None:
    """It neither helped nor harmed."""
    blocked = call(12_000, reason=Reason.COOLDOWN)
    result = scored(blocked, labels=[label(10_000, 20_000)])
    assert (result.calls, result.precision) == (0, None)
    assert [m.note for m in result.misses] == ["R fired, but `cooldown`"]


def test_a_tree_that_only_observes_is_scored_as_if_it_acted() -> None:
    """Shadow mode is where precision is found out."""
    result = scored(call(12_000, reason=Reason.OBSERVE_MODE), labels=[label(10_000, 20_000)])
    assert (result.precision, result.recall) == (1, 1)


def test_a_late_call_says_so() -> None:
    """Its rule fired in time, but something stood in the way."""
    result = scored(call(25_000, fired_at_ms=12_000), labels=[label(10_000, 20_000)])
    (false,) = result.false_calls
    assert false.note.startswith("late: its rule fired in a labelled incident that had ended 5 s")


def test_a_miss_says_what_came_closest() -> None:
    """Nothing, pending, or another branch."""

    def moved(state: RuleState, branch: str = "q") -> Transition:
        return Transition(at_ms=12_000, rule="R", state=state, scope="rag/eu", branch=branch,
                          value=1.0, labels={})  # fmt: skip

    labels = [label(10_000, 20_000)]
    notes = [
        scored(labels=labels, transitions=found).misses[0].note
        for found in ([], [moved(RuleState.PENDING)], [moved(RuleState.FIRING, "x")])
    ]
    assert notes == ["no rule fired", "a rule was pending only", "only rules of `x` fired"]


def test_labels_outside_the_recording_do_not_count() -> None:
    """They are named."""
    result = scored(labels=[label(200_000, 300_000)])
    assert (result.labelled, result.recall, len(result.not_covered)) == (0, None, 1)


@pytest.mark.parametrize(
    ("decisions", "labels", "missed"),
    [
        ([], [], []),
        ([call(12_000)], [label(10_000, 20_000)], []),
        ([call(12_000)], [], ["precision is 0.000, wanted 0.9", "recall is undefined, wanted 0.9"]),
        ([], [label(1, 2)], ["precision is undefined, wanted 0.9", "recall is 0.000, wanted 0.9"]),
    ],
)
def test_what_is_undefined_is_never_met(
    decisions: list[Decision], labels: list[Label], missed: list[str]
) -> None:
    """No data is not green; but a quiet recording of a quiet hour is."""
    result = scored(*decisions, labels=labels)
    assert result.shortfalls(min_precision=0.9, min_recall=0.9) == missed
    assert result.shortfalls(min_precision=None, min_recall=None) == []
