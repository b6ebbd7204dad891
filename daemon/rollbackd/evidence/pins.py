"""The pins that each arm of a scope was last seen with."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from rollbackd.model.events import PinsSeen
from rollbackd.model.labels import Scope
from rollbackd.model.pins import REQUIRED_PINS, Pins
from rollbackd.telemetry import Telemetry

#: So many different sets of pins are remembered of a scope, those that were seen last.
SETS_OF_A_SCOPE: Final = 64

#: An arm and what it ran with.
_Set = tuple[str, bool, frozenset[tuple[str, str]]]


class PinsTable:
    """Remembers the newest pins of each arm; older events do not overwrite newer ones.

    Nor does a part of an arm overwrite what was said of all of it.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self._missing = {name: telemetry.events_missing_pins.labels(name) for name in REQUIRED_PINS}
        self._seen: dict[Scope, dict[str, PinsSeen]] = {}
        self._sets: dict[Scope, OrderedDict[_Set, PinsSeen]] = {}

    def note(self, seen: PinsSeen) -> None:
        """Take the pins of one event; see `note_all`."""
        self.note_all([seen])

    def note_all(self, sightings: Sequence[PinsSeen]) -> None:
        """Take the pins of a batch; required ones that are missing are counted."""
        for name, missing in self._missing.items():
            count = sum(name not in seen.pins for seen in sightings if not seen.partial)
            if count:
                missing.inc(count)
        for seen in sightings:
            arms = self._seen.setdefault(seen.scope, {})
            known = arms.get(seen.arm)
            if known is None or _rank(known) <= _rank(seen):
                arms[seen.arm] = seen
            self._keep(seen)

    def scopes(self) -> list[Scope]:
        """Every scope that was seen."""
        return list(self._seen)

    def scopes_of(self, service: str) -> list[Scope]:
        """The scopes of a service that were seen."""
        return [scope for scope in self._seen if scope.service == service]

    def of(self, scope: Scope) -> dict[str, Pins]:
        """Arm -> pins."""
        return {arm: seen.pins for arm, seen in self._seen.get(scope, {}).items()}

    def since(self, scope: Scope, time_ms: int) -> list[PinsSeen]:
        """Every set of pins that an arm was seen with after a time, each once, at its latest."""
        return [seen for seen in self._sets.get(scope, {}).values() if seen.time_ms > time_ms]

    def _keep(self, seen: PinsSeen) -> None:
        sets = self._sets.setdefault(seen.scope, OrderedDict())
        key = seen.arm, seen.partial, frozenset(seen.pins.items())
        known = sets.get(key)
        if known is None or known.time_ms < seen.time_ms:
            sets[key] = seen
        sets.move_to_end(key)
        if len(sets) > SETS_OF_A_SCOPE:
            sets.popitem(last=False)


def _rank(seen: PinsSeen) -> tuple[bool, int]:
    return not seen.partial, seen.time_ms
