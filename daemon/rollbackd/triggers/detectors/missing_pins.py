"""Answers that do not say what they were made with (requirements A1): `events_missing_pins_total`.

Only answers that name a user or a claimed arm are seen one by one; those without user and pins are
samples alone.
"""

from rollbackd.model.events import Sample
from rollbackd.model.facts import AnswerServed
from rollbackd.triggers.detectors.detector import Lateness
from rollbackd.triggers.detectors.emission import Lines
from rollbackd.triggers.detectors.scopes import Scopes


class MissingPins:
    """Counts answers that have no pins at all."""

    name = "missing_pins"

    def __init__(self, *, scopes: int, lateness: Lateness) -> None:
        self._scopes = Scopes(Lines, scopes)
        self._lateness = lateness

    @property
    def evicted(self) -> int:
        """Scopes that were forgotten for others."""
        return self._scopes.evicted

    def take(self, fact: AnswerServed, at_ms: int, origin: str, out: list[Sample]) -> None:
        """One answer."""
        if not (fact.user or fact.claimed_arm):
            return
        lines, newest_ms = self._scopes.of(fact.scope, at_ms, origin)
        if not self._lateness.refuses(at_ms, newest_ms):
            line = lines.of("events_missing_pins_total", fact.arm)
            line.add(not fact.pins, newest_ms, out)

    def forget(self, origin: str) -> None:
        """See Detector."""
        self._scopes.forget(origin)
