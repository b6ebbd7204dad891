"""The store in Redis, for several replicas of the daemon; `redis_keys` lists what it keeps.

A scope's keys share a hash tag and each script touches one tag only.
"""

from collections.abc import Sequence
from typing import Any, Final, Self, TypeVar

from rollbackd.connections.redis import Argument, Command, RedisConnection, Script
from rollbackd.errors import PermanentError
from rollbackd.model.events import AlertStatus, KnownGood
from rollbackd.model.facts import ChangeEvent
from rollbackd.model.history import History, Latch
from rollbackd.model.incidents import Incident, JournalRecord
from rollbackd.model.known_good import SetStatus
from rollbackd.model.labels import Scope
from rollbackd.model.triggers import RuleInstance, RuleState
from rollbackd.ports import DeadLetter, InboxEntry, Pause
from rollbackd.stores import redis_keys as at
from rollbackd.stores.records import (
    CHANGES,
    DEAD_LETTERS,
    INBOX_MEMORY_MS,
    RULE_STATE_MEMORY_MS,
    RULE_STATES,
    change_key,
    decode,
    encode,
    rule_state_key,
    shortened,
)
from rollbackd.stores.redis_incidents import ADVANCE, OPEN_INCIDENT, RedisIncidents
from rollbackd.stores.redis_known_good import PUT_KNOWN_GOOD, RedisKnownGood

T = TypeVar("T")

_ACCEPT: Final = Script.load(__package__, "accept")
_NEXT_EPOCH: Final = Script.load(__package__, "next_epoch")
_PUT_NEWEST: Final = Script.load(__package__, "put_newest")


class RedisStore:
    """Implements `ports.Store`; may share its connection with the controls.

    With `wait_replicas`, a change counts as committed when that many replicas have it.
    """

    def __init__(self, connection: RedisConnection, *, wait_replicas: int) -> None:
        self._connection = connection
        self._wait_replicas = wait_replicas
        self._closed = False
        self._incidents = RedisIncidents(connection, self._change)
        self._known_good = RedisKnownGood(connection, self._change)

    @classmethod
    async def open(cls, connection: RedisConnection, *, wait_replicas: int = 0) -> Self:
        """Raises PermanentError when the server would forget what it has acknowledged."""
        if not wait_replicas and not await connection.keeps_writes():
            raise PermanentError(
                f"Redis `{connection.address}` forgets everything when it restarts; set"
                " `appendonly yes` there, or `wait_replicas` here"
            )
        await connection.use(
            _ACCEPT, ADVANCE, _NEXT_EPOCH, OPEN_INCIDENT, PUT_KNOWN_GOOD, _PUT_NEWEST
        )
        return cls(connection, wait_replicas=wait_replicas)

    async def accept(self, entries: Sequence[InboxEntry]) -> int:
        """See `ports.Store`. An alert that turns back to an earlier status counts as new."""
        if not entries:
            return 0
        arguments: list[Argument] = []
        for entry in entries:
            firing = int(entry.alert.status is AlertStatus.FIRING)
            arguments += (entry.key, entry.alert.fingerprint, firing, entry.received_at_ms)
            arguments.append(encode(entry))
        prune_before_ms = max(entry.received_at_ms for entry in entries) - INBOX_MEMORY_MS
        keys = (at.ENTRIES, at.PENDING, at.LATEST, at.FIRING, at.PRUNABLE, at.SEQUENCE)
        new: int = await self._change(_ACCEPT.call(keys, prune_before_ms, *arguments))
        return new

    async def unhandled(self, limit: int) -> list[InboxEntry]:
        """See `ports.Store`."""
        return await self._entries(await self._range("ZRANGE", at.PENDING, limit))

    async def mark_handled(self, keys: Sequence[str]) -> None:
        """See `ports.Store`."""
        if keys:
            await self._change(("ZREM", at.PENDING, *keys))

    async def firing_alerts(self) -> list[InboxEntry]:
        """See `ports.Store`."""
        fingerprints = await self._connection.read("SMEMBERS", at.FIRING)
        if not fingerprints:
            return []
        keys = await self._connection.read("HMGET", at.LATEST, *fingerprints)
        entries = await self._entries([key for key in keys if key is not None])
        return sorted(entries, key=lambda entry: (entry.received_at_ms, entry.key))

    async def next_epoch(self, scope: Scope) -> int:
        """See `ports.Store`."""
        return int(await self._change(_NEXT_EPOCH.call([at.of_scope(scope, "epoch")])))

    async def open_incident(self, incident: Incident, record: JournalRecord) -> None:
        """See `ports.Store`. Repeating the same call changes nothing."""
        await self._incidents.open(incident, record)

    async def advance(self, incident: Incident, records: Sequence[JournalRecord]) -> None:
        """See `ports.Store`. Repeating the same call changes nothing."""
        await self._incidents.advance(incident, records)

    async def incident(self, incident_id: str) -> Incident | None:
        """See `ports.Store`."""
        found = await self._incidents.of_ids([incident_id])
        return found[0] if found else None

    async def incidents(self, *, open_only: bool = False, limit: int = 100) -> list[Incident]:
        """See `ports.Store`."""
        if not open_only:
            ids = await self._range("ZREVRANGE", at.INCIDENTS, limit)
            return await self._incidents.of_ids(ids)
        return (await self._incidents.still_open())[:limit]

    async def journal(self, incident_id: str) -> list[JournalRecord]:
        """See `ports.Store`."""
        return await self._incidents.journal(incident_id)

    async def history(self, *, acts_since_ms: int, trips_since_ms: int) -> History:
        """See `ports.Store`."""
        return await self._incidents.history(
            acts_since_ms=acts_since_ms, trips_since_ms=trips_since_ms
        )

    async def latches(self) -> list[Latch]:
        """See `ports.Store`."""
        return await self._incidents.latches()

    async def put_latch(self, latch: Latch) -> None:
        """See `ports.Store`."""
        await self._incidents.put_latch(latch)

    async def put_known_good(self, known_good: KnownGood) -> KnownGood:
        """See `ports.Store`."""
        return await self._known_good.put(known_good)

    async def known_good(self, scope: Scope) -> KnownGood | None:
        """See `ports.Store`."""
        return await self._known_good.in_force(scope)

    async def all_known_good(self) -> list[KnownGood]:
        """See `ports.Store`."""
        return await self._known_good.all_in_force()

    async def known_good_sets(
        self, scope: Scope | None = None, *, limit: int = 100
    ) -> list[KnownGood]:
        """See `ports.Store`."""
        return await self._known_good.sets(scope, limit=limit)

    async def known_good_set(self, set_id: str) -> KnownGood | None:
        """See `ports.Store`."""
        return await self._known_good.one(set_id)

    async def set_known_good_status(
        self, set_id: str, status: SetStatus, *, by: str, now_ms: int
    ) -> KnownGood | None:
        """See `ports.Store`."""
        return await self._known_good.set_status(set_id, status, by=by, now_ms=now_ms)

    async def set_pause(self, pause: Pause | None) -> None:
        """See `ports.Store`."""
        await self._change(("DEL", at.PAUSE) if pause is None else ("SET", at.PAUSE, encode(pause)))

    async def pause(self) -> Pause | None:
        """See `ports.Store`."""
        body = await self._connection.read("GET", at.PAUSE)
        return None if body is None else decode(body, Pause)

    async def bury(self, letter: DeadLetter) -> None:
        """See `ports.Store`; the newest thousand are kept."""
        await self._change(
            ("LPUSH", at.LETTERS, encode(shortened(letter))),
            ("LTRIM", at.LETTERS, 0, DEAD_LETTERS - 1),
        )

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """See `ports.Store`."""
        bodies = await self._range("LRANGE", at.LETTERS, limit)
        return [decode(body, DeadLetter) for body in bodies]

    async def put_rule_states(self, instances: Sequence[RuleInstance]) -> None:
        """See `ports.Store`."""
        if not instances:
            return
        arguments: list[Argument] = []
        for instance in instances:
            ended = instance.state is RuleState.INACTIVE
            arguments += (rule_state_key(instance), instance.seen_at_ms)
            arguments.append(b"" if ended else encode(instance))
        prune_before_ms = max(i.seen_at_ms for i in instances) - RULE_STATE_MEMORY_MS
        keys = (at.RULE_STATES, at.RULE_STATES_SEEN)
        await self._change(_PUT_NEWEST.call(keys, prune_before_ms, RULE_STATES, *arguments))

    async def rule_states(self) -> list[RuleInstance]:
        """See `ports.Store`."""
        return await self._ordered(RuleInstance, "ZREVRANGE", at.RULE_STATES_SEEN, at.RULE_STATES)

    async def put_changes(self, changes: Sequence[ChangeEvent]) -> None:
        """See `ports.Store`."""
        if not changes:
            return
        arguments: list[Argument] = []
        for change in changes:
            arguments += (change_key(change), change.time_ms, encode(change))
        keys = (at.CHANGES, at.CHANGES_MADE)
        await self._change(_PUT_NEWEST.call(keys, "-inf", CHANGES, *arguments))

    async def changes(self) -> list[ChangeEvent]:
        """See `ports.Store`."""
        return await self._ordered(ChangeEvent, "ZRANGE", at.CHANGES_MADE, at.CHANGES)

    async def ping(self) -> None:
        """See `ports.Store`."""
        await self._connection.ping()

    async def close(self) -> None:
        """See `ports.Store`; the connection is closed with its last user."""
        if not self._closed:
            self._closed = True
            await self._connection.release()

    async def _change(self, *commands: Command) -> Any:
        """The reply to the last command."""
        replies = await self._connection.write(*commands, wait_replicas=self._wait_replicas)
        return replies[-1]

    async def _range(self, command: str, key: str, limit: int) -> list[bytes]:
        """The first `limit` members; to Redis itself, an end of -1 would mean all of them."""
        if limit < 1:
            return []
        members: list[bytes] = await self._connection.read(command, key, 0, limit - 1)
        return members

    async def _ordered(self, kind: type[T], command: str, order: str, table: str) -> list[T]:
        """All of a table, in the order of its keys."""
        keys = await self._connection.read(command, order, 0, -1)
        if not keys:
            return []
        bodies = await self._connection.read("HMGET", table, *keys)
        return [decode(body, kind) for body in bodies if body is not None]

    async def _entries(self, keys: Sequence[bytes]) -> list[InboxEntry]:
        if not keys:
            return []
        bodies = await self._connection.read("HMGET", at.ENTRIES, *keys)
        return [decode(body, InboxEntry) for body in bodies if body is not None]
