"""What detectors must not take for a fault: flips of our own, moved traffic, announced indexes."""

from collections.abc import Callable, Iterable
from typing import Final

from rollbackd.app.changes import Changes
from rollbackd.model.events import KnownGood
from rollbackd.model.facts import ChangeKind
from rollbackd.model.incidents import Incident, State
from rollbackd.model.labels import Scope
from rollbackd.triggers.detectors import IndexExpected

#: A pointer of the scope is moving in these.
_MOVING: Final = frozenset({State.FLIPPING, State.ROTATING, State.REVERTING})
_INDEX: Final = "INDEX_HASH"
#: The arm that may differ from what is known good, for that is what it is there for.
_CANARY: Final = "canary"


class Expectations:
    """Implements `triggers.detectors.Expected` for the daemon and for a backtest."""

    def __init__(
        self,
        *,
        in_force: Callable[[Scope], KnownGood | None],
        changes: Changes,
        incidents: Callable[[], Iterable[Incident]],
        propagation_ms: int,
    ) -> None:
        self._in_force = in_force
        self._changes = changes
        self._incidents = incidents
        self._propagation_ms = propagation_ms
        #: Scope -> when it was flipped last, as far as this process has seen.
        self._flipped_ms: dict[Scope, int] = {}

    def look(self, now_ms: int) -> None:
        """Note what the open incidents do. Before every batch of facts."""
        for incident in self._incidents():
            moved_ms = now_ms if incident.state in _MOVING else incident.flipped_at_ms
            if moved_ms is not None:
                known_ms = self._flipped_ms.get(incident.scope, 0)
                self._flipped_ms[incident.scope] = max(known_ms, moved_ms)

    def own_flip_until(self, scope: Scope) -> int:
        """See Expected."""
        flipped_ms = self._flipped_ms.get(scope)
        return 0 if flipped_ms is None else flipped_ms + self._propagation_ms

    def users_move_until(self, scope: Scope) -> int:
        """See Expected. A change of a flag moves traffic as long as a flip does."""
        flag = self._changes.newest(scope, ChangeKind.FLAG)
        moved_ms = 0 if flag is None else flag.time_ms + self._propagation_ms
        return max(moved_ms, self.own_flip_until(scope))

    def index_of(self, scope: Scope, arm: str) -> list[IndexExpected]:
        """See Expected.

        An index that was announced since then may be read beside the known good one, until we have
        flipped the scope back. A canary has only what was announced for it.
        """
        known = self._in_force(scope)
        good = known.pins if known is not None else {}
        found = []
        if arm != _CANARY and _INDEX in good:
            found.append(IndexExpected(good, _documents(known)))
        announced = self._announced(scope, known)
        if announced:
            found.append(IndexExpected({**good, _INDEX: announced}, None))
        return found

    def _announced(self, scope: Scope, known: KnownGood | None) -> str:
        change = self._changes.newest(scope, ChangeKind.INDEX)
        flipped_ms = max(self._flipped_ms.get(scope, 0), self._changes.flipped_ms(scope))
        since_ms = max(0 if known is None else known.recorded_at_ms, flipped_ms)
        return change.after if change is not None and change.time_ms > since_ms else ""


def _documents(known: KnownGood | None) -> int | None:
    """How many documents the one target had that has any."""
    if known is None:
        return None
    counts = [t.facts["documents"] for t in known.targets.values() if "documents" in t.facts]
    if len(counts) == 1 and isinstance(counts[0], int):
        return counts[0]
    return None
