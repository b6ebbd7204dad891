"""One idempotency key, two effects (requirements W10): `duplicate_effects_total`."""

from typing import Final

from rollbackd.model.events import Sample
from rollbackd.model.facts import EffectReceipt, EffectStatus
from rollbackd.model.labels import Scope
from rollbackd.settings.detectors import DuplicateEffectsBounds
from rollbackd.triggers.detectors.detector import Lateness
from rollbackd.triggers.detectors.emission import Lines
from rollbackd.triggers.detectors.fingerprints import Fingerprints, digest, fingerprint
from rollbackd.triggers.detectors.scopes import Scopes

#: Two different effects look alike once in 65,536 pairs.
_EFFECT_BYTES: Final = 2
#: Effects of one scope that are remembered as counted, so that a receipt told again is not.
_MOST_COUNTED: Final = 10_000


class _State:
    __slots__ = ("counted", "lines", "prefix")

    def __init__(self, scope: Scope) -> None:
        self.lines = Lines(scope)
        self.prefix = f"{scope}/".encode()
        #: In the order of their counting.
        self.counted: dict[bytes, None] = {}


class DuplicateEffects:
    """Remembers the first sealed effect of each key; every further one of that key is counted once.

    However late it comes: partitions are not read in step, and two effects stay two. A receipt that
    is pending, failed or unknown is no effect. The table of keys outlives the loss of a partition:
    that a key has an effect stays true.
    """

    name = "duplicate_effects"

    def __init__(self, bounds: DuplicateEffectsBounds, *, scopes: int, lateness: Lateness) -> None:
        self.table = Fingerprints(bounds.keys, value_bytes=_EFFECT_BYTES)
        self._scopes = Scopes(_State, scopes)
        self._lateness = lateness

    @property
    def evicted(self) -> int:
        """Keys that had to go for newer ones."""
        return self.table.evicted + self._scopes.evicted

    def take(self, fact: EffectReceipt, at_ms: int, origin: str, out: list[Sample]) -> None:
        """One receipt."""
        state, newest_ms = self._scopes.of(fact.scope, at_ms, origin)
        fresh = False
        if fact.status is EffectStatus.SEALED and fact.effect_id:
            told = digest(state.prefix, fact.key)
            effect = fingerprint(fact.effect_id, _EFFECT_BYTES)
            place = self.table.find(told)
            if place is None:
                self.table.insert(told, effect)
            elif self.table.read(place) != effect:
                fresh = _is_new(state, told + effect)
        counts = fresh and not self._lateness.refuses_fault(at_ms, newest_ms)
        state.lines.of("duplicate_effects_total", fact.arm).add(counts, newest_ms, out)

    def forget(self, origin: str) -> None:
        """See Detector."""
        self._scopes.forget(origin)


def _is_new(state: _State, duplicate: bytes) -> bool:
    if duplicate in state.counted:
        return False
    if len(state.counted) >= _MOST_COUNTED:
        del state.counted[next(iter(state.counted))]
    state.counted[duplicate] = None
    return True
