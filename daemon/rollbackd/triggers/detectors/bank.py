"""All detectors behind one call: facts in, samples out, in the order of the facts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rollbackd.model import facts as f
from rollbackd.model.events import Sample
from rollbackd.settings.detectors import DetectorSettings
from rollbackd.triggers.detectors.cache_poisoning import CachePoisoning
from rollbackd.triggers.detectors.claimed_arms import ClaimedArms
from rollbackd.triggers.detectors.dedupe_conflicts import DedupeConflicts
from rollbackd.triggers.detectors.detector import Detector, Expected, Lateness, NothingExpected
from rollbackd.triggers.detectors.duplicate_effects import DuplicateEffects
from rollbackd.triggers.detectors.index_mismatch import IndexMismatch
from rollbackd.triggers.detectors.lambda_flips import LambdaFlips
from rollbackd.triggers.detectors.missing_pins import MissingPins
from rollbackd.triggers.detectors.mixed_versions import MixedVersions
from rollbackd.triggers.detectors.sticky_breaks import StickyBreaks
from rollbackd.triggers.detectors.throttle_storms import ThrottleStorms
from rollbackd.triggers.detectors.tool_loops import ToolLoops

#: Each is given its own kind of fact.
_Take = Callable[[Any, int, str, list[Sample]], None]


class DetectorBank:
    """One of each detector, with the bounds of the settings.

    Deterministic: the same facts in the same order give the same samples, however they are cut
    into batches. `lateness_ms` is that of the engine.
    """

    def __init__(
        self,
        settings: DetectorSettings | None = None,
        expected: Expected | None = None,
        *,
        lateness_ms: int = 60_000,
    ) -> None:
        settings = settings or DetectorSettings()
        expected = expected or NothingExpected()
        self._lateness = lateness = Lateness(lateness_ms)
        #: Facts that came too late for one detector or more.
        self.late = 0
        most = settings.scopes
        duplicates = DuplicateEffects(settings.duplicate_effects, scopes=most, lateness=lateness)
        conflicts = DedupeConflicts(scopes=most, lateness=lateness)
        mixed = MixedVersions(settings.mixed_versions, expected, scopes=most, lateness=lateness)
        sticky = StickyBreaks(settings.sticky_breaks, expected, scopes=most, lateness=lateness)
        claimed, missing = (
            ClaimedArms(scopes=most, lateness=lateness),
            MissingPins(scopes=most, lateness=lateness),
        )
        index = IndexMismatch(settings.index_mismatch, expected, scopes=most, lateness=lateness)
        loops = ToolLoops(settings.tool_loops, scopes=most, lateness=lateness)
        poison = CachePoisoning(scopes=most, lateness=lateness)
        storms = ThrottleStorms(settings.throttle_storms, scopes=most, lateness=lateness)
        flips = LambdaFlips(settings.lambda_flips, scopes=most, lateness=lateness)
        self._detectors: Sequence[Detector] = (
            duplicates, conflicts, mixed, sticky, claimed, missing, index, loops, poison, storms,
            flips,
        )  # fmt: skip
        answers = (mixed.take, sticky.take, claimed.take, missing.take, index.take)
        self._takers: Mapping[type, Sequence[_Take]] = {
            f.AnswerServed: answers,
            f.CacheRead: (poison.take,),
            f.EffectReceipt: (duplicates.take,),
            f.DedupeDecided: (conflicts.take,),
            f.ToolCalled: (loops.take,),
            f.RetrieverSeen: (index.take,),
            f.LambdaProbed: (flips.take,),
            f.Retried: (storms.take,),
            f.Scorable: (),
        }

    def take(
        self, facts: Iterable[f.AnyFact], *, now_ms: int, origin: str, again: bool = False
    ) -> list[Sample]:
        """What the detectors have to say about facts that arrive together.

        A fact from the future counts as one of now: it must not hold back what comes after it.
        `again` says that a partition is read again for its window.
        """
        out: list[Sample] = []
        self._lateness.reading_again = again
        for fact in facts:
            at_ms = min(fact.time_ms, now_ms)
            refused = self._lateness.refused
            for take in self._takers[fact.__class__]:
                take(fact, at_ms, origin, out)
            self.late += self._lateness.refused > refused
        return out

    def forget(self, origin: str) -> None:
        """Drop what came from a partition."""
        for detector in self._detectors:
            detector.forget(origin)

    def evicted(self) -> dict[str, int]:
        """Detector -> how much it had to forget so far."""
        return {detector.name: detector.evicted for detector in self._detectors}
