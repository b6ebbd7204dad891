"""What was changed lately about each service: deploys, flags, indexes, prompts, configuration."""

import logging
from bisect import insort
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import msgspec

from rollbackd.clock import Clock
from rollbackd.errors import RollbackdError
from rollbackd.model.facts import ChangeEvent, ChangeKind
from rollbackd.model.history import Act
from rollbackd.model.labels import Scope
from rollbackd.ports import Store

logger = logging.getLogger(__name__)

_MOST_SCOPES: Final = 2_000
#: How often it is looked what other replicas were told.
_LOOK_MS: Final = 60_000


class _Known(msgspec.Struct):
    """The changes of one scope."""

    #: Oldest first.
    lately: list[ChangeEvent] = []
    #: However many others there were since.
    newest: dict[ChangeKind, ChangeEvent] = {}


class Changes:
    """The newest changes of each scope, `most` of each, and beside them the newest of each kind.

    The newest of each kind are in the store too (`look`); what was before them comes back from
    Kafka alone, as far as it is read again. A change without a region (`global`) is one of every
    region. The loss of a partition takes nothing away: what was done stays done.
    """

    def __init__(self, most: int = 100) -> None:
        self._most = most
        self._of: OrderedDict[Scope, _Known] = OrderedDict()
        #: When a scope was flipped back last, by whichever process.
        self._flipped_ms: dict[Scope, int] = {}
        self._looked_ms: int | None = None

    def note(self, changes: Iterable[ChangeEvent]) -> None:
        """Take what a batch says; a change that is known is known once."""
        for change in changes:
            known = self._of.setdefault(change.scope, _Known())
            self._of.move_to_end(change.scope)
            newest = known.newest.get(change.kind)
            if newest is None or change.time_ms >= newest.time_ms:
                known.newest[change.kind] = change
            if change != newest and change not in known.lately:
                insort(known.lately, change, key=lambda each: each.time_ms)
                del known.lately[: -self._most]
            if len(self._of) > _MOST_SCOPES:
                self._of.popitem(last=False)

    def flipped_ms(self, scope: Scope) -> int:
        """When the scope was flipped back last, as far as the store told; 0 for never."""
        return self._flipped_ms.get(scope, 0)

    def of(self, scope: Scope, *, since_ms: int, until_ms: int) -> list[ChangeEvent]:
        """The changes of a scope in a closed range of time, oldest first."""
        found: dict[ChangeEvent, None] = {}
        for known in self._known(scope):
            found.update(dict.fromkeys((*known.lately, *known.newest.values())))
        within = [change for change in found if since_ms <= change.time_ms <= until_ms]
        return sorted(within, key=lambda change: change.time_ms)

    def before(self, now_ms: int, scope: Scope, within_ms: int) -> list[ChangeEvent]:
        """The changes of a scope in the last so many milliseconds, oldest first."""
        return self.of(scope, since_ms=now_ms - within_ms, until_ms=now_ms)

    def newest(self, scope: Scope, kind: ChangeKind) -> ChangeEvent | None:
        """The last change of a kind, or None."""
        found = [known.newest[kind] for known in self._known(scope) if kind in known.newest]
        return max(found, key=lambda change: change.time_ms, default=None)

    async def look(self, store: Store, now_ms: int) -> None:
        """Take what is in the store, and what was flipped back since. Raises TemporaryError."""
        stored = await store.changes()
        indexes = [change for change in stored if change.kind is ChangeKind.INDEX]
        if indexes:
            new = [change.time_ms for change in indexes if not self._has(change)]
            looked_ms = now_ms if self._looked_ms is None else self._looked_ms
            since_ms = min([looked_ms - _LOOK_MS, *new])
            history = await store.history(acts_since_ms=since_ms, trips_since_ms=now_ms)
            self._note_flips(history.acts)
        self._looked_ms = now_ms
        self.note(stored)

    async def follow(self, store: Store, clock: Clock) -> None:
        """Look again and again, until cancelled: other replicas are told of changes too."""
        while True:
            await clock.sleep(_LOOK_MS)
            try:
                await self.look(store, clock.now())
            except (RollbackdError, TimeoutError) as error:
                logger.warning("changes were not read", extra={"because": str(error)})

    def _note_flips(self, acts: Iterable[Act]) -> None:
        for act in acts:
            if act.flipped_at_ms is not None:
                known_ms = self.flipped_ms(act.scope)
                self._flipped_ms[act.scope] = max(act.flipped_at_ms, known_ms)

    def _known(self, scope: Scope) -> list[_Known]:
        scopes = dict.fromkeys((scope, Scope(scope.service)))
        return [self._of[each] for each in scopes if each in self._of]

    def _has(self, change: ChangeEvent) -> bool:
        known = self._of.get(change.scope)
        return known is not None and known.newest.get(change.kind) == change
