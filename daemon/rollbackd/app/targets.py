"""Exit targets read from the live series."""

import math
from collections.abc import Callable

from rollbackd.model.incidents import Incident
from rollbackd.model.labels import Labels
from rollbackd.model.policy import ExitTarget
from rollbackd.model.triggers import TargetReading, Verdict
from rollbackd.settings import ScopeLabels
from rollbackd.triggers.engine import Engine


class LiveTargets:
    """Asks the engine that is in force; a target whose expression fails is unknown."""

    def __init__(self, engine: Callable[[], Engine], scope_labels: ScopeLabels) -> None:
        self._engine = engine
        self._scope_labels = scope_labels

    def read(self, incident: Incident, now_ms: int) -> list[TargetReading]:
        """One reading a target of the incident's branch, over samples after the flip only."""
        return [self._read(incident, each, now_ms) for each in incident.policy.exit_targets]

    def _read(self, incident: Incident, target: ExitTarget, now_ms: int) -> TargetReading:
        engine = self._engine()
        try:
            vector = engine.query(
                engine.compile(target.value), now_ms, since_ms=incident.flipped_at_ms
            )
        except ValueError:
            vector = []
        here = [value for labels, value in vector if self._is_here(incident, labels)]
        return reading_of(target, here)

    def _is_here(self, incident: Incident, labels: Labels) -> bool:
        found = dict(labels)
        return (
            found.get(self._scope_labels.service) == incident.scope.service
            and found.get(self._scope_labels.region, "global") == incident.scope.region
        )


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
