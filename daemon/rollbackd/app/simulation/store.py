"""The simulated store: what survives a crash, with every commit shown to whoever watches."""

import time
from bisect import insort
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

import msgspec

from rollbackd.app.backtest.memory import MemoryStore
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.incidents.states import check_transition
from rollbackd.model.history import trip_of
from rollbackd.model.incidents import Incident, JournalRecord
from rollbackd.model.labels import Scope
from rollbackd.model.triggers import RuleInstance, RuleState
from rollbackd.ports import DeadLetter, InboxEntry, ScopeBusyError
from rollbackd.stores.records import (
    DEAD_LETTERS,
    INBOX_MEMORY_MS,
    RULE_STATE_MEMORY_MS,
    RULE_STATES,
    rule_state_key,
    shortened,
    stale,
)

#: Hears of a commit: the incident before (None when it is opened) and after, and its new records.
OnCommit = Callable[[Incident | None, Incident, Sequence[JournalRecord]], None]

_INCIDENT: Final = msgspec.msgpack.Decoder(Incident)
_RECORD: Final = msgspec.msgpack.Decoder(JournalRecord)


def _nobody(
    _before: Incident | None, _after: Incident, _records: Sequence[JournalRecord]
) -> None: ...


def _microseconds() -> int:
    return time.time_ns() // 1_000


class SimulatedStore(MemoryStore):
    """Implements `ports.Store`: as durable as this object, which replicas share.

    Incidents and records are kept as bytes, so that nobody shares a list with the store.
    """

    def __init__(
        self,
        *,
        on_commit: OnCommit = _nobody,
        now_us: Callable[[], int] = _microseconds,
    ) -> None:
        super().__init__()
        self.closed = False
        self._on_commit = on_commit
        self._now_us = now_us
        self._bodies: dict[str, bytes] = {}
        self._open: dict[Scope, str] = {}
        self._records: dict[str, list[bytes]] = {}
        self._rule_states: dict[str, RuleInstance] = {}

    async def accept(self, entries: Sequence[InboxEntry]) -> int:
        """See `ports.Store`."""
        new = await super().accept(entries)
        if entries:
            self._forget_alerts(max(entry.received_at_ms for entry in entries) - INBOX_MEMORY_MS)
        return new

    async def next_epoch(self, scope: Scope) -> int:
        """See `ports.Store`."""
        epoch = max(self._epochs.get(scope, 0) + 1, self._now_us())
        self._epochs[scope] = epoch
        return epoch

    async def open_incident(self, incident: Incident, record: JournalRecord) -> None:
        """See `ports.Store`."""
        body = msgspec.msgpack.encode(incident)
        stored = self._bodies.get(incident.id)
        if stored == body:
            return
        if stored is not None:
            raise PermanentError(f"incident `{incident.id}` is in the store already")
        self._refuse_second_open(incident)
        insort(self._by_age, (incident.opened_at_ms, incident.id))
        self._scopes.add(incident.scope)
        if incident.is_open:
            self._acts[incident.id] = None
        trip = trip_of(incident)
        if trip is not None:
            self._trips[trip.scope, trip.rule] = trip
        self._records[incident.id] = []
        self._commit(None, incident, body, [record])

    async def advance(self, incident: Incident, records: Sequence[JournalRecord]) -> None:
        """See `ports.Store`."""
        body = msgspec.msgpack.encode(incident)
        stored = self._bodies.get(incident.id)
        if stored == body:
            return
        before = _INCIDENT.decode(stored) if stored is not None else None
        if before is None or before.version != incident.version - 1:
            raise stale(incident, before.version if before is not None else None)
        check_transition(before.state, incident.state)
        self._refuse_second_open(incident)
        self._commit(before, incident, body, records)

    async def incident(self, incident_id: str) -> Incident | None:
        """See `ports.Store`."""
        body = self._bodies.get(incident_id)
        return None if body is None else _INCIDENT.decode(body)

    async def incidents(self, *, open_only: bool = False, limit: int = 100) -> list[Incident]:
        """See `ports.Store`."""
        return list(islice(self.newest_first(open_only=open_only), limit))

    def newest_first(self, *, open_only: bool = False) -> "list[Incident]":
        """Every incident, at no cost in virtual time."""
        standing = set(self._open.values())
        return [
            _INCIDENT.decode(self._bodies[key])
            for _, key in reversed(self._by_age)
            if not open_only or key in standing
        ]

    async def journal(self, incident_id: str) -> list[JournalRecord]:
        """See `ports.Store`."""
        return self.records_of(incident_id)

    def records_of(self, incident_id: str) -> list[JournalRecord]:
        """The journal, at no cost in virtual time."""
        return [_RECORD.decode(body) for body in self._records.get(incident_id, ())]

    async def bury(self, letter: DeadLetter) -> None:
        """See `ports.Store`."""
        self._letters = [*self._letters[-(DEAD_LETTERS - 1) :], shortened(letter)]

    async def put_rule_states(self, instances: Sequence[RuleInstance]) -> None:
        """See `ports.Store`."""
        if not instances:
            return
        for each in instances:
            key = rule_state_key(each)
            known = self._rule_states.get(key)
            if known is not None and known.seen_at_ms > each.seen_at_ms:
                continue
            self._rule_states.pop(key, None)
            if each.state is not RuleState.INACTIVE:
                self._rule_states[key] = each
        oldest_ms = max(each.seen_at_ms for each in instances) - RULE_STATE_MEMORY_MS
        kept = [i for i in self._rule_states.items() if i[1].seen_at_ms >= oldest_ms]
        kept.sort(key=lambda item: (item[1].seen_at_ms, item[0]), reverse=True)
        self._rule_states = dict(kept[:RULE_STATES])

    async def rule_states(self) -> list[RuleInstance]:
        """See `ports.Store`."""
        return list(self._rule_states.values())

    async def ping(self) -> None:
        """See `ports.Store`."""
        if self.closed:
            raise TemporaryError("the store is closed")

    async def close(self) -> None:
        """See `ports.Store`."""
        self.closed = True

    def _commit(
        self,
        before: Incident | None,
        after: Incident,
        body: bytes,
        records: Sequence[JournalRecord],
    ) -> None:
        self._bodies[after.id] = body
        self._incidents[after.id] = after
        self._records[after.id] += [msgspec.msgpack.encode(record) for record in records]
        if after.is_open:
            self._open[after.scope] = after.id
        elif self._open.get(after.scope) == after.id:
            del self._open[after.scope]
        self._on_commit(before, after, records)

    def _refuse_second_open(self, incident: Incident) -> None:
        other = self._open.get(incident.scope)
        if incident.is_open and other is not None and other != incident.id:
            raise ScopeBusyError(other)

    def _forget_alerts(self, before_ms: int) -> None:
        firing = {key for key in self._latest.values() if self._is_firing(key)}
        for key, entry in list(self._inbox.items()):
            if entry.received_at_ms < before_ms and key not in self._waiting and key not in firing:
                del self._inbox[key]
                if self._latest.get(entry.alert.fingerprint) == key:
                    del self._latest[entry.alert.fingerprint]

    def _is_firing(self, key: str) -> bool:
        return self._inbox[key].alert.status == "firing"
