"""Entries that should not have been read from a cache (requirements W8): `cache_poison_total`."""

from typing import Final

from rollbackd.model.events import Sample
from rollbackd.model.facts import CacheRead
from rollbackd.triggers.detectors.detector import Lateness
from rollbackd.triggers.detectors.emission import Lines
from rollbackd.triggers.detectors.scopes import Scopes

#: A hit on an entry that was made with other pins than the reader runs with.
FOREIGN_PINS: Final = "foreign_pins"
#: A key that does not hold INDEX_HASH or PROMPT_VER: it survives the rollback of either.
UNKEYED: Final = "unkeyed"
#: Live traffic reads what shadow traffic wrote.
SHADOW: Final = "shadow"
_KINDS: Final = (FOREIGN_PINS, UNKEYED, SHADOW)

#: What every key must hold (requirements C5).
_KEYED: Final = ("INDEX_HASH", "PROMPT_VER")
#: The arm of shadow traffic, which may read its own.
_SHADOW_ARM: Final = "shadow"


class CachePoisoning:
    """Judges each read by itself, however late; one read may be poisoned in more than one way."""

    name = "cache_poisoning"

    def __init__(self, *, scopes: int, lateness: Lateness) -> None:
        self._scopes = Scopes(Lines, scopes)
        self._lateness = lateness

    @property
    def evicted(self) -> int:
        """Scopes that were forgotten for others."""
        return self._scopes.evicted

    def take(self, fact: CacheRead, at_ms: int, origin: str, out: list[Sample]) -> None:
        """One read."""
        lines, newest_ms = self._scopes.of(fact.scope, at_ms, origin)
        if self._lateness.refuses_fault(at_ms, newest_ms):
            return
        lines.of("cache_reads_total", fact.arm).count(newest_ms, out)
        found = kinds_of(fact)
        for kind in _KINDS:
            line = lines.of("cache_poison_total", fact.arm, kind)
            line.add(kind in found, newest_ms, out)

    def forget(self, origin: str) -> None:
        """See Detector."""
        self._scopes.forget(origin)


def kinds_of(read: CacheRead) -> tuple[str, ...]:
    """In which ways a read is poisoned.

    Pins are compared where both sides know them. Of a miss only a key that was told is judged.
    """
    made_with, pins = read.entry_pins, read.pins
    found: tuple[str, ...] = ()
    if (read.hit or made_with) and any(name not in made_with for name in _KEYED):
        found += (UNKEYED,)
    if read.hit and any(pins.get(name, value) != value for name, value in made_with.items()):
        found += (FOREIGN_PINS,)
    if read.hit and read.shadow and read.arm != _SHADOW_ARM:
        found += (SHADOW,)
    return found
