"""Exit targets read from the live series."""

import math
from collections.abc import Callable, Iterable
from typing import Final

from rollbackd.model.incidents import Incident
from rollbackd.model.labels import Labels, Scope
from rollbackd.model.policy import ExitTarget
from rollbackd.model.triggers import TargetReading, Verdict
from rollbackd.promql.expressions import CompiledExpr
from rollbackd.settings import ScopeLabels
from rollbackd.triggers.engine import Engine

#: Whether a scope has run, after a time, with other pins than its baseline is of.
Foreign = Callable[[Scope, int], bool]

_BASELINE: Final = "baseline:"


def _never(_scope: Scope, _since_ms: int) -> bool:
    return False


class LiveTargets:
    """Asks the engine that is in force; a target whose expression fails is unknown.

    So is one that compares with a baseline of other pins than the scope runs with (X2).
    """

    def __init__(
        self,
        engine: Callable[[], Engine],
        scope_labels: ScopeLabels,
        foreign: Foreign = _never,
    ) -> None:
        self._engine = engine
        self._scope_labels = scope_labels
        self._foreign = foreign

    def read(self, incident: Incident, now_ms: int) -> list[TargetReading]:
        """One reading a target of the incident's branch, over samples after the flip only."""
        return self.of(
            incident.scope,
            incident.policy.exit_targets,
            now_ms=now_ms,
            since_ms=incident.flipped_at_ms,
        )

    def of(
        self,
        scope: Scope,
        targets: Iterable[ExitTarget],
        *,
        now_ms: int,
        since_ms: int | None = None,
    ) -> list[TargetReading]:
        """One reading a target, over samples that are not older than `since_ms`."""
        return [self._read(scope, each, now_ms, since_ms) for each in targets]

    def _read(
        self, scope: Scope, target: ExitTarget, now_ms: int, since_ms: int | None
    ) -> TargetReading:
        engine = self._engine()
        try:
            compiled = engine.compile(target.value)
            reach_ms = _measured_over(compiled)
            if reads_baseline(compiled) and self._foreign(
                scope, max(now_ms - reach_ms, since_ms or 0)
            ):
                return reading_of(target, [])
            vector = engine.query(compiled, now_ms, since_ms=since_ms)
        except ValueError:
            vector = []
        here = [value for labels, value in vector if self._is_here(scope, labels)]
        return reading_of(target, here)

    def _is_here(self, scope: Scope, labels: Labels) -> bool:
        found = dict(labels)
        return (
            found.get(self._scope_labels.service) == scope.service
            and found.get(self._scope_labels.region, "global") == scope.region
        )


def _measured_over(compiled: CompiledExpr) -> int:
    """How far back it looks at what runs, in milliseconds."""
    windows = (ms for each, ms in compiled.reads if not each.name.startswith(_BASELINE))
    return max(windows, default=0)


def reads_baseline(compiled: CompiledExpr) -> bool:
    """Whether an expression compares with what was recorded with a known good set."""
    return any(selector.name.startswith(_BASELINE) for selector, _ in compiled.reads)


def reading_of(target: ExitTarget, values: list[float]) -> TargetReading:
    """Green when every value is strictly on the right side; unknown without any, or with NaN."""
    direction = "below" if target.below is not None else "above"
    worst = None
    verdict = Verdict.UNKNOWN
    if values and not any(math.isnan(v) for v in values):
        worst = max(values) if direction == "below" else min(values)
        met = worst < target.bound if direction == "below" else worst > target.bound
        verdict = Verdict.GREEN if met else Verdict.RED
    return TargetReading(
        name=target.name, verdict=verdict, value=worst, bound=target.bound, direction=direction
    )
