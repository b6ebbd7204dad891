"""Clients that believe they are on another arm (requirements F3): `claimed_arm_mismatch_total`."""

from rollbackd.model.events import Sample
from rollbackd.model.facts import AnswerServed
from rollbackd.triggers.detectors.detector import Lateness
from rollbackd.triggers.detectors.emission import Lines
from rollbackd.triggers.detectors.scopes import Scopes


class ClaimedArms:
    """Compares what a client claims with the arm that the server gave it."""

    name = "claimed_arms"

    def __init__(self, *, scopes: int, lateness: Lateness) -> None:
        self._scopes = Scopes(Lines, scopes)
        self._lateness = lateness

    @property
    def evicted(self) -> int:
        """Scopes that were forgotten for others."""
        return self._scopes.evicted

    def take(self, fact: AnswerServed, at_ms: int, origin: str, out: list[Sample]) -> None:
        """One answer."""
        if not fact.claimed_arm or not fact.arm:
            return
        lines, newest_ms = self._scopes.of(fact.scope, at_ms, origin)
        if not self._lateness.refuses(at_ms, newest_ms):
            mismatch = fact.claimed_arm != fact.arm
            lines.of("claimed_arm_mismatch_total", fact.arm).add(mismatch, newest_ms, out)

    def forget(self, origin: str) -> None:
        """See Detector."""
        self._scopes.forget(origin)
