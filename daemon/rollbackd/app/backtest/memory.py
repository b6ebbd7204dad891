"""A store in memory: what a backtest writes down is over with the backtest."""

import itertools
from bisect import insort
from collections.abc import Sequence

from rollbackd.errors import PermanentError
from rollbackd.incidents.states import check_transition
from rollbackd.model.events import AlertStatus, KnownGood
from rollbackd.model.facts import ChangeEvent
from rollbackd.model.history import History, Latch, Trip, act_of, trip_of
from rollbackd.model.incidents import Incident, JournalRecord
from rollbackd.model.known_good import SETS_KEPT, SetStatus
from rollbackd.model.labels import Scope
from rollbackd.model.triggers import RuleInstance
from rollbackd.ports import (
    DeadLetter,
    InboxEntry,
    Pause,
    ScopeBusyError,
)
from rollbackd.stores.known_good import newest_first, restated
from rollbackd.stores.records import CHANGES, change_key, stale


class MemoryStore:
    """Implements `ports.Store`. Never raises TemporaryError."""

    def __init__(self) -> None:
        self._inbox: dict[str, InboxEntry] = {}
        #: The key of the newest entry of each fingerprint.
        self._latest: dict[str, str] = {}
        self._waiting: dict[str, InboxEntry] = {}
        self._incidents: dict[str, Incident] = {}
        self._by_age: list[tuple[int, str]] = []
        #: Those that were opened to act.
        self._acts: dict[str, None] = {}
        self._trips: dict[tuple[Scope, str], Trip] = {}
        self._latches: dict[tuple[Scope, str], Latch] = {}
        self._scopes: set[Scope] = set()
        self._journals: dict[str, list[JournalRecord]] = {}
        self._epochs: dict[Scope, int] = {}
        self._known_good: dict[str, KnownGood] = {}
        self._pause: Pause | None = None
        self._letters: list[DeadLetter] = []
        self._changes: dict[str, ChangeEvent] = {}

    async def accept(self, entries: Sequence[InboxEntry]) -> int:
        """See `ports.Store`."""
        new = 0
        for entry in entries:
            fingerprint, known = entry.alert.fingerprint, entry.key in self._inbox
            self._inbox[entry.key] = entry
            if known and self._latest.get(fingerprint) == entry.key:
                if entry.key in self._waiting:
                    self._waiting[entry.key] = entry
                continue
            self._latest[fingerprint] = entry.key
            # an alert that turns back moves to the end
            self._waiting.pop(entry.key, None)
            self._waiting[entry.key] = entry
            new += 1
        return new

    async def unhandled(self, limit: int) -> list[InboxEntry]:
        """See `ports.Store`."""
        return list(itertools.islice(self._waiting.values(), limit))

    async def mark_handled(self, keys: Sequence[str]) -> None:
        """See `ports.Store`."""
        for key in keys:
            self._waiting.pop(key, None)

    async def firing_alerts(self) -> list[InboxEntry]:
        """See `ports.Store`."""
        latest = (self._inbox[key] for key in self._latest.values())
        return [entry for entry in latest if entry.alert.status is AlertStatus.FIRING]

    async def next_epoch(self, scope: Scope) -> int:
        """See `ports.Store`."""
        self._epochs[scope] = self._epochs.get(scope, 0) + 1
        return self._epochs[scope]

    async def open_incident(self, incident: Incident, record: JournalRecord) -> None:
        """See `ports.Store`."""
        stored = self._incidents.get(incident.id)
        if stored == incident:
            return
        if stored is not None:
            raise PermanentError(f"incident `{incident.id}` is in the store already")
        if incident.is_open:
            for other in self._incidents.values():
                if other.is_open and other.scope == incident.scope:
                    raise ScopeBusyError(other.id)
            self._acts[incident.id] = None
        self._scopes.add(incident.scope)
        trip = trip_of(incident)
        if trip is not None:
            self._trips[trip.scope, trip.rule] = trip
        insort(self._by_age, (incident.opened_at_ms, incident.id))
        self._incidents[incident.id] = incident
        self._journals[incident.id] = [record]

    async def advance(self, incident: Incident, records: Sequence[JournalRecord]) -> None:
        """See `ports.Store`."""
        stored = self._incidents.get(incident.id)
        if stored == incident:
            return
        if stored is None or stored.version != incident.version - 1:
            raise stale(incident, stored.version if stored is not None else None)
        check_transition(stored.state, incident.state)
        self._incidents[incident.id] = incident
        self._journals[incident.id] += records

    async def incident(self, incident_id: str) -> Incident | None:
        """See `ports.Store`."""
        return self._incidents.get(incident_id)

    async def incidents(self, *, open_only: bool = False, limit: int = 100) -> list[Incident]:
        """See `ports.Store`."""
        newest = (self._incidents[key] for _, key in reversed(self._by_age))
        return list(itertools.islice((i for i in newest if i.is_open or not open_only), limit))

    def oldest_first(self) -> list[Incident]:
        """Every incident, in the order of opening."""
        return [self._incidents[key] for _, key in self._by_age]

    async def journal(self, incident_id: str) -> list[JournalRecord]:
        """See `ports.Store`."""
        return list(self._journals.get(incident_id, ()))

    async def history(self, *, acts_since_ms: int, trips_since_ms: int) -> History:
        """See `ports.Store`."""
        acts = (act_of(self._incidents[incident_id]) for incident_id in self._acts)
        return History(
            acts=[act for act in acts if act.is_open or (act.ended_at_ms or 0) >= acts_since_ms],
            trips=[trip for trip in self._trips.values() if trip.at_ms >= trips_since_ms],
            latches=await self.latches(),
            scopes=len(self._scopes),
        )

    async def latches(self) -> list[Latch]:
        """See `ports.Store`."""
        return [self._latches[key] for key in sorted(self._latches)]

    async def put_latch(self, latch: Latch) -> None:
        """See `ports.Store`."""
        self._latches[latch.scope, latch.branch] = latch

    async def put_known_good(self, known_good: KnownGood) -> KnownGood:
        """See `ports.Store`."""
        scope, id_ = known_good.scope, known_good.id
        self._scopes.add(scope)
        for each in self._known_good.values():
            if each.id == id_ or (
                known_good.key and (each.scope, each.key) == (scope, known_good.key)
            ):
                return each
        self._known_good[id_] = known_good
        kept = await self.known_good(scope)
        others = [each for each in self._sets_of(scope) if each != kept]
        for old in others[SETS_KEPT - (kept is not None) :]:
            del self._known_good[old.id]
        return known_good

    async def known_good(self, scope: Scope) -> KnownGood | None:
        """See `ports.Store`."""
        good = [
            each
            for each in reversed(self._known_good.values())
            if each.scope == scope and each.good_since_ms is not None
        ]
        return max(good, key=lambda each: each.good_since_ms or 0, default=None)

    async def all_known_good(self) -> list[KnownGood]:
        """See `ports.Store`."""
        found = [await self.known_good(scope) for scope in sorted(self._scopes)]
        return [known_good for known_good in found if known_good is not None]

    async def known_good_sets(
        self, scope: Scope | None = None, *, limit: int = 100
    ) -> list[KnownGood]:
        """See `ports.Store`."""
        return self._sets_of(scope)[: max(0, limit)]

    async def known_good_set(self, set_id: str) -> KnownGood | None:
        """See `ports.Store`."""
        return self._known_good.get(set_id)

    async def set_known_good_status(
        self, set_id: str, status: SetStatus, *, by: str, now_ms: int
    ) -> KnownGood | None:
        """See `ports.Store`."""
        known_good = self._known_good.get(set_id)
        if known_good is None:
            return None
        in_force = await self.known_good(known_good.scope) == known_good
        changed = restated(known_good, status, by=by, now_ms=now_ms, in_force=in_force)
        self._known_good[set_id] = changed
        return changed

    def _sets_of(self, scope: Scope | None) -> list[KnownGood]:
        return newest_first(
            each for each in self._known_good.values() if scope is None or each.scope == scope
        )

    async def set_pause(self, pause: Pause | None) -> None:
        """See `ports.Store`."""
        self._pause = pause

    async def pause(self) -> Pause | None:
        """See `ports.Store`."""
        return self._pause

    async def bury(self, letter: DeadLetter) -> None:
        """See `ports.Store`."""
        self._letters = [*self._letters[-999:], letter]

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """See `ports.Store`."""
        return self._letters[::-1][:limit]

    async def put_rule_states(self, instances: Sequence[RuleInstance]) -> None:
        """See `ports.Store`; a backtest is never restarted."""

    async def rule_states(self) -> list[RuleInstance]:
        """See `ports.Store`."""
        return []

    async def put_changes(self, changes: Sequence[ChangeEvent]) -> None:
        """See `ports.Store`."""
        for change in changes:
            known = self._changes.get(change_key(change), change)
            if change.time_ms >= known.time_ms:
                self._changes[change_key(change)] = change
        kept = sorted(self._changes.items(), key=lambda item: (item[1].time_ms, item[0]))
        self._changes = dict(kept[-CHANGES:])

    async def changes(self) -> list[ChangeEvent]:
        """See `ports.Store`."""
        return list(self._changes.values())

    async def ping(self) -> None:
        """See `ports.Store`."""

    async def close(self) -> None:
        """See `ports.Store`."""
