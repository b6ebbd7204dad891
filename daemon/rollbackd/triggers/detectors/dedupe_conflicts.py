"""Keys that came again with another body (requirements W10, 3.4): `dedupe_conflicts_total`."""

from rollbackd.model.events import Sample
from rollbackd.model.facts import DedupeDecided, DedupeDecision
from rollbackd.triggers.detectors.detector import Lateness
from rollbackd.triggers.detectors.emission import Lines
from rollbackd.triggers.detectors.scopes import Scopes


class DedupeConflicts:
    """Counts conflicts beside all decisions, so that a rule sees the rise of their share."""

    name = "dedupe_conflicts"

    def __init__(self, *, scopes: int, lateness: Lateness) -> None:
        self._scopes = Scopes(Lines, scopes)
        self._lateness = lateness

    @property
    def evicted(self) -> int:
        """Scopes that were forgotten for others."""
        return self._scopes.evicted

    def take(self, fact: DedupeDecided, at_ms: int, origin: str, out: list[Sample]) -> None:
        """One decision of a fence."""
        lines, newest_ms = self._scopes.of(fact.scope, at_ms, origin)
        if self._lateness.refuses(at_ms, newest_ms):
            return
        lines.of("dedupe_decisions_total", fact.arm).count(newest_ms, out)
        conflict = fact.decision is DedupeDecision.CONFLICT
        lines.of("dedupe_conflicts_total", fact.arm).add(conflict, newest_ms, out)

    def forget(self, origin: str) -> None:
        """See Detector."""
        self._scopes.forget(origin)
