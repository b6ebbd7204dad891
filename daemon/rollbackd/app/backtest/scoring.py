"""Decisions against labels: precision, recall, time to detect. Pure.

* A *call* is a decision that acts, or would if the tree did not only observe. What another
  guardrail stopped is no call: it neither helped nor harmed.
* A call is right when it comes inside a labelled incident of its scope and branch.
* A labelled incident is found by a right call, or by a trigger that joins an open incident.
* What is undefined (no call, no label) is None, and never counts as met.
"""

import msgspec

from rollbackd.app.backtest.findings import Decision, Findings
from rollbackd.app.backtest.labels import Label
from rollbackd.promql.values import quantile_of


class FalseCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call outside every labelled incident; `note` says when it was only late."""

    decision: int
    at_ms: int
    scope: str
    branch: str
    rule: str
    note: str = ""


class Miss(msgspec.Struct, frozen=True, kw_only=True):
    """A labelled incident that nothing found; `note` says what stood in the way."""

    label: Label
    note: str


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A labelled incident that was found, by which rule and how long after it began."""

    label: Label
    at_ms: int
    after_ms: int
    rule: str
    decision: int


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How well the decisions met the labels."""

    calls: int
    right: int
    labelled: int
    precision: float | None
    recall: float | None
    f1: float | None
    detect_median_ms: float | None
    detect_p95_ms: float | None
    found: list[Found]
    false_calls: list[FalseCall]
    misses: list[Miss]
    #: Labels that the recording does not cover; they are not counted.
    not_covered: list[Label]

    def shortfalls(self, *, min_precision: float | None, min_recall: float | None) -> list[str]:
        """Which of the wanted numbers are missed. Nothing labelled and nothing called is fine."""
        if not self.calls and not self.labelled:
            return []
        wanted = (
            ("precision", self.precision, min_precision),
            ("recall", self.recall, min_recall),
        )
        return [
            f"{name} is {'undefined' if value is None else f'{value:.3f}'}, wanted {least:g}"
            for name, value, least in wanted
            if least is not None and (value is None or value < least)
        ]


def score(findings: Findings, labels: list[Label]) -> Score:
    """Compare."""
    read = findings.input
    covered = [x for x in labels if x.start_ms <= read.to_ms and x.end_ms >= read.from_ms]
    calls = [decision for decision in findings.decisions if decision.calls]
    right = [c for c in calls if any(_is_right(c, label) for label in covered)]
    found = [hit for label in covered if (hit := _found(label, findings.decisions)) is not None]
    times = [float(hit.after_ms) for hit in found]
    precision = len(right) / len(calls) if calls else None
    recall = len(found) / len(covered) if covered else None
    known = [hit.label for hit in found]
    return Score(
        calls=len(calls),
        right=len(right),
        labelled=len(covered),
        precision=precision,
        recall=recall,
        f1=_f1(precision, recall),
        detect_median_ms=quantile_of(0.5, times) if times else None,
        detect_p95_ms=quantile_of(0.95, times) if times else None,
        found=found,
        false_calls=[_false(c, covered) for c in calls if c not in right],
        misses=[_miss(label, findings) for label in covered if label not in known],
        not_covered=[label for label in labels if label not in covered],
    )


def _is_right(decision: Decision, label: Label) -> bool:
    return (
        decision.scope == label.scope
        and label.branch in {"", *decision.branches}
        and label.start_ms <= decision.at_ms <= label.end_ms
    )


def _found(label: Label, decisions: list[Decision]) -> Found | None:
    """The first call or joined trigger inside."""
    here = [d for d in decisions if d.calls and d.scope == label.scope]
    hits = [(d.at_ms, d.rule, d.number) for d in here if _is_right(d, label)]
    hits += [
        (joined.at_ms, joined.rule, d.number)
        for d in here
        for joined in d.joined
        if label.branch in {"", joined.branch} and label.start_ms <= joined.at_ms <= label.end_ms
    ]
    if not hits:
        return None
    at_ms, rule, number = min(hits)
    return Found(
        label=label, at_ms=at_ms, after_ms=at_ms - label.start_ms, rule=rule, decision=number
    )


def _false(decision: Decision, labels: list[Label]) -> FalseCall:
    late = [
        label
        for label in labels
        if label.scope == decision.scope
        and label.branch in {"", *decision.branches}
        and label.end_ms < decision.at_ms
        and decision.fired_at_ms <= label.end_ms
    ]
    note = ""
    if late:
        seconds = (decision.at_ms - max(label.end_ms for label in late)) / 1_000
        note = f"late: its rule fired in a labelled incident that had ended {seconds:.0f} s before"
    return FalseCall(
        decision=decision.number,
        at_ms=decision.at_ms,
        scope=decision.scope,
        branch=decision.branch,
        rule=decision.rule,
        note=note,
    )


def _miss(label: Label, findings: Findings) -> Miss:
    """Why nothing came of it, as far as can be told."""
    inside = [d for d in findings.decisions if _is_right(d, label)]
    if inside:
        reasons = dict.fromkeys(f"{d.rule} fired, but `{d.reason}`" for d in inside)
        return Miss(label=label, note="; ".join(reasons))
    elsewhere = {
        t.branch
        for t in findings.transitions
        if t.scope == label.scope
        and t.state == "firing"
        and label.start_ms <= t.at_ms <= label.end_ms
    }
    if elsewhere - {"", label.branch}:
        others = ", ".join(f"`{name}`" for name in sorted(elsewhere - {""}))
        return Miss(label=label, note=f"only rules of {others} fired")
    pending = any(
        t.scope == label.scope
        and t.state == "pending"
        and label.start_ms <= t.at_ms <= label.end_ms
        for t in findings.transitions
    )
    return Miss(label=label, note="a rule was pending only" if pending else "no rule fired")


def _f1(precision: float | None, recall: float | None) -> float | None:
    if precision is None or recall is None or precision + recall == 0:
        return None if precision is None or recall is None else 0.0
    return 2 * precision * recall / (precision + recall)
