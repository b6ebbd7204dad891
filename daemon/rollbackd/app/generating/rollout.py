"""What the pipeline says: the known good set before the rollout, and the changes that it makes."""

from collections.abc import Iterable
from typing import Any, Final

from rollbackd.app.generating.plans import Plan
from rollbackd.app.generating.scenario import Change
from rollbackd.app.generating.schedule import Timed
from rollbackd.app.generating.sides import Side
from rollbackd.app.generating.versions import (
    ALIAS,
    CHANGED,
    CONTROLS,
    GOOD_INDEX,
    GOOD_PINS,
    NEW_INDEX,
)
from rollbackd.model.labels import Scope
from rollbackd.promql.values import quantile_of

#: Of an answer, in the order in which a side keeps them.
_METRICS: Final = ("delta_s", "coverage", "latency_seconds", "tokens", "cost_per_solved_query")
_BY: Final = "release-pipeline"


class Pipeline:
    """Pins the baseline, then rolls out in steps."""

    def __init__(self, plan: Plan, scope: Scope, baseline: Side) -> None:
        self._plan = plan
        self._scope = scope
        self._baseline = baseline

    def tick(self, at_ms: int, out: list[Timed]) -> None:
        """What it says in the second that begins now."""
        plan, end_ms = self._plan, at_ms + 1_000
        if at_ms <= plan.pinned_ms < end_ms:
            out.append((plan.pinned_ms, self._known_good(plan.pinned_ms)))
            self._baseline.measuring = False
            self._baseline.answers.clear()
        share = 0.0
        for since, to in plan.scenario.steps:
            step_ms = plan.rollout_ms + int(since * 1_000)
            if at_ms <= step_ms < end_ms:
                out += [(step_ms, each) for each in self._step(step_ms, share, to)]
            share = to

    def _event(self, name: str, at_ms: int) -> dict[str, Any]:
        return {
            "event": name,
            "ts": at_ms / 1_000,
            "service": self._scope.service,
            "region": self._scope.region,
        }

    def _known_good(self, at_ms: int) -> dict[str, Any]:
        columns = zip(*self._baseline.answers, strict=True)
        # With no answer yet there is no window, but there still are pins to go back to.
        measured = dict(zip(_METRICS, columns, strict=False))
        return {
            **self._event("baseline.pinned", at_ms),
            "pins": GOOD_PINS,
            "controls": CONTROLS,
            "baseline": {metric: _statistics(values) for metric, values in measured.items()},
        }

    def _step(self, at_ms: int, before: float, after: float) -> list[dict[str, Any]]:
        """The flag of each step; what the canary runs is there before the first."""
        changes = []
        if not before:
            changes.append(self._change(at_ms, *_subject(self._plan.scenario.change)))
        changes.append(self._change(at_ms, "flag", "canary", f"{before:g}", f"{after:g}"))
        return changes

    def _change(
        self, at_ms: int, kind: str, subject: str, before: str, after: str
    ) -> dict[str, Any]:
        event = self._event("change", at_ms)
        event |= {"kind": kind, "subject": subject, "before": before, "after": after}
        return {**event, "by": _BY, "link": f"https://ci.example.com/runs/{self._plan.seed}"}


def _subject(change: Change) -> tuple[str, str, str, str]:
    """The kind of change, what is changed, from what and to what."""
    ((pin, after),) = CHANGED[change].items()
    match change:
        case Change.PROMPT:
            return "prompt", "prompt-pack", GOOD_PINS[pin], after
        case Change.MODEL:
            return "config", "model", GOOD_PINS[pin], after
        case Change.INDEX:
            return "index", ALIAS, GOOD_INDEX, NEW_INDEX


def _statistics(values: Iterable[float]) -> dict[str, float]:
    """What the rules compare with; percentiles as PromQL has them."""
    found = list(values)
    return {
        "p50": quantile_of(0.50, found),
        "p95": quantile_of(0.95, found),
        "p99": quantile_of(0.99, found),
        "mean": round(sum(found) / len(found), 6),
        "count": len(found),
    }
