"""The store in Redis, for several replicas of the daemon.

A scope's keys share a hash tag and each script touches one tag only. The indexes under `{store}`
are written before the script runs: they may name an incident that was never opened, and readers
pass over it; they never miss one.

    rollbackd:{service/region}:incident:<id>   HASH version, body (JSON)
    rollbackd:{service/region}:open            STRING, id of the scope's open incident
    rollbackd:{service/region}:journal:<id>    LIST of records (JSON), oldest first
    rollbackd:{service/region}:epoch           STRING, the last epoch that was granted
    rollbackd:{service/region}:known_good      HASH recorded_at_ms, body (JSON)
    rollbackd:{store}:scopes                   SET of scopes with incidents or a known good set
    rollbackd:{store}:incidents                ZSET of incident ids by opened_at_ms
    rollbackd:{store}:incident_scopes          HASH incident id -> scope
    rollbackd:{store}:pause                    STRING (JSON), while paused
    rollbackd:{store}:rule_states              HASH key -> rule instance (JSON)
    rollbackd:{store}:rule_states_seen         ZSET of their keys by seen_at_ms
    rollbackd:{store}:dead_letters             LIST (JSON), newest first, at most 1,000
    rollbackd:{store}:inbox:entries            HASH key -> entry (JSON)
    rollbackd:{store}:inbox:pending            ZSET of unhandled keys by order of arrival
    rollbackd:{store}:inbox:latest             HASH fingerprint -> key of its newest entry
    rollbackd:{store}:inbox:firing             SET of fingerprints whose newest entry fires
    rollbackd:{store}:inbox:prunable           ZSET `key fingerprint` by received_at_ms
    rollbackd:{store}:inbox:sequence           STRING, counts arrivals
    rollbackd:waits                            STRING, counts waits for replicas
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Self

from rollbackd.connections.redis import Argument, Command, RedisConnection, Script
from rollbackd.errors import PermanentError
from rollbackd.model.events import AlertStatus, KnownGood
from rollbackd.model.incidents import Incident, JournalRecord
from rollbackd.model.labels import Scope
from rollbackd.model.triggers import RuleInstance, RuleState
from rollbackd.ports import DeadLetter, InboxEntry, Pause, ScopeBusyError
from rollbackd.stores.records import (
    DEAD_LETTERS,
    INBOX_MEMORY_MS,
    RULE_STATE_MEMORY_MS,
    RULE_STATES,
    decode,
    encode,
    rule_state_key,
    shortened,
    stale,
)

_ACCEPT: Final = Script.load(__package__, "accept")
_ADVANCE: Final = Script.load(__package__, "advance")
_NEXT_EPOCH: Final = Script.load(__package__, "next_epoch")
_OPEN_INCIDENT: Final = Script.load(__package__, "open_incident")
_PUT_KNOWN_GOOD: Final = Script.load(__package__, "put_known_good")
_PUT_RULE_STATES: Final = Script.load(__package__, "put_rule_states")

_SCOPES: Final = "rollbackd:{store}:scopes"
_INCIDENTS: Final = "rollbackd:{store}:incidents"
_INCIDENT_SCOPES: Final = "rollbackd:{store}:incident_scopes"
_PAUSE: Final = "rollbackd:{store}:pause"
_RULE_STATES: Final = "rollbackd:{store}:rule_states"
_RULE_STATES_SEEN: Final = "rollbackd:{store}:rule_states_seen"
_LETTERS: Final = "rollbackd:{store}:dead_letters"
_ENTRIES: Final = "rollbackd:{store}:inbox:entries"
_PENDING: Final = "rollbackd:{store}:inbox:pending"
_LATEST: Final = "rollbackd:{store}:inbox:latest"
_FIRING: Final = "rollbackd:{store}:inbox:firing"
_PRUNABLE: Final = "rollbackd:{store}:inbox:prunable"
_SEQUENCE: Final = "rollbackd:{store}:inbox:sequence"


class RedisStore:
    """Implements `ports.Store`; may share its connection with the controls.

    With `wait_replicas`, a change counts as committed when that many replicas have it.
    """

    def __init__(self, connection: RedisConnection, *, wait_replicas: int) -> None:
        self._connection = connection
        self._wait_replicas = wait_replicas
        self._closed = False

    @classmethod
    async def open(cls, connection: RedisConnection, *, wait_replicas: int = 0) -> Self:
        """Raises PermanentError when the server would forget what it has acknowledged."""
        if not wait_replicas and not await connection.keeps_writes():
            raise PermanentError(
                f"Redis `{connection.address}` forgets everything when it restarts; set"
                " `appendonly yes` there, or `wait_replicas` here"
            )
        await connection.use(
            _ACCEPT, _ADVANCE, _NEXT_EPOCH, _OPEN_INCIDENT, _PUT_KNOWN_GOOD, _PUT_RULE_STATES
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
        keys = (_ENTRIES, _PENDING, _LATEST, _FIRING, _PRUNABLE, _SEQUENCE)
        new: int = await self._change(_ACCEPT.call(keys, prune_before_ms, *arguments))
        return new

    async def unhandled(self, limit: int) -> list[InboxEntry]:
        """See `ports.Store`."""
        return await self._entries(await self._range("ZRANGE", _PENDING, limit))

    async def mark_handled(self, keys: Sequence[str]) -> None:
        """See `ports.Store`."""
        if keys:
            await self._change(("ZREM", _PENDING, *keys))

    async def firing_alerts(self) -> list[InboxEntry]:
        """See `ports.Store`."""
        fingerprints = await self._connection.read("SMEMBERS", _FIRING)
        if not fingerprints:
            return []
        keys = await self._connection.read("HMGET", _LATEST, *fingerprints)
        entries = await self._entries([key for key in keys if key is not None])
        return sorted(entries, key=lambda entry: (entry.received_at_ms, entry.key))

    async def next_epoch(self, scope: Scope) -> int:
        """See `ports.Store`."""
        return int(await self._change(_NEXT_EPOCH.call([_key(scope, "epoch")])))

    async def open_incident(self, incident: Incident, record: JournalRecord) -> None:
        """See `ports.Store`. Repeating the same call changes nothing."""
        reply = await self._change(
            ("SADD", _SCOPES, str(incident.scope)),
            ("ZADD", _INCIDENTS, "NX", incident.opened_at_ms, incident.id),
            ("HSETNX", _INCIDENT_SCOPES, incident.id, str(incident.scope)),
            _OPEN_INCIDENT.call(_keys(incident), *_fields(incident), encode(record)),
        )
        match reply:
            case [b"busy", other]:
                await self._change(
                    ("ZREM", _INCIDENTS, incident.id), ("HDEL", _INCIDENT_SCOPES, incident.id)
                )
                raise ScopeBusyError(other.decode())
            case [b"exists"]:
                raise PermanentError(f"incident `{incident.id}` is in the store already")

    async def advance(self, incident: Incident, records: Sequence[JournalRecord]) -> None:
        """See `ports.Store`. Repeating the same call changes nothing."""
        reply = await self._change(
            _ADVANCE.call(_keys(incident), *_fields(incident), *map(encode, records))
        )
        match reply:
            case [b"missing"]:
                raise stale(incident, None)
            case [b"stale", version]:
                raise stale(incident, int(version))
            case [b"busy", other]:
                raise ScopeBusyError(other.decode())

    async def incident(self, incident_id: str) -> Incident | None:
        """See `ports.Store`."""
        found = await self._incidents([incident_id])
        return found[0] if found else None

    async def incidents(self, *, open_only: bool = False, limit: int = 100) -> list[Incident]:
        """See `ports.Store`."""
        if not open_only:
            return await self._incidents(await self._range("ZREVRANGE", _INCIDENTS, limit))
        ids = await self._of_scopes(lambda scope: ("GET", _key(scope, "open")))
        found = [incident for incident in await self._incidents(ids) if incident.is_open]
        found.sort(key=lambda incident: (incident.opened_at_ms, incident.id), reverse=True)
        return found[:limit]

    async def journal(self, incident_id: str) -> list[JournalRecord]:
        """See `ports.Store`."""
        scope = await self._connection.read("HGET", _INCIDENT_SCOPES, incident_id)
        if scope is None:
            return []
        key = _key(scope.decode(), f"journal:{incident_id}")
        bodies = await self._connection.read("LRANGE", key, 0, -1)
        return [decode(body, JournalRecord) for body in bodies]

    async def put_known_good(self, known_good: KnownGood) -> None:
        """See `ports.Store`; one that is older than the stored one is let go."""
        keys = [_key(known_good.scope, "known_good")]
        await self._change(
            ("SADD", _SCOPES, str(known_good.scope)),
            _PUT_KNOWN_GOOD.call(keys, known_good.recorded_at_ms, encode(known_good)),
        )

    async def known_good(self, scope: Scope) -> KnownGood | None:
        """See `ports.Store`."""
        body = await self._connection.read("HGET", _key(scope, "known_good"), "body")
        return None if body is None else decode(body, KnownGood)

    async def all_known_good(self) -> list[KnownGood]:
        """See `ports.Store`."""
        bodies = await self._of_scopes(lambda scope: ("HGET", _key(scope, "known_good"), "body"))
        return [decode(body, KnownGood) for body in bodies]

    async def set_pause(self, pause: Pause | None) -> None:
        """See `ports.Store`."""
        await self._change(("DEL", _PAUSE) if pause is None else ("SET", _PAUSE, encode(pause)))

    async def pause(self) -> Pause | None:
        """See `ports.Store`."""
        body = await self._connection.read("GET", _PAUSE)
        return None if body is None else decode(body, Pause)

    async def bury(self, letter: DeadLetter) -> None:
        """See `ports.Store`; the newest thousand are kept."""
        await self._change(
            ("LPUSH", _LETTERS, encode(shortened(letter))),
            ("LTRIM", _LETTERS, 0, DEAD_LETTERS - 1),
        )

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """See `ports.Store`."""
        bodies = await self._range("LRANGE", _LETTERS, limit)
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
        keys = (_RULE_STATES, _RULE_STATES_SEEN)
        await self._change(_PUT_RULE_STATES.call(keys, prune_before_ms, RULE_STATES, *arguments))

    async def rule_states(self) -> list[RuleInstance]:
        """See `ports.Store`."""
        keys = await self._connection.read("ZREVRANGE", _RULE_STATES_SEEN, 0, -1)
        if not keys:
            return []
        bodies = await self._connection.read("HMGET", _RULE_STATES, *keys)
        return [decode(body, RuleInstance) for body in bodies if body is not None]

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

    async def _entries(self, keys: Sequence[bytes]) -> list[InboxEntry]:
        if not keys:
            return []
        bodies = await self._connection.read("HMGET", _ENTRIES, *keys)
        return [decode(body, InboxEntry) for body in bodies if body is not None]

    async def _incidents(self, ids: Sequence[str | bytes]) -> list[Incident]:
        if not ids:
            return []
        names = [id_.decode() if isinstance(id_, bytes) else id_ for id_ in ids]
        scopes = await self._connection.read("HMGET", _INCIDENT_SCOPES, *names)
        bodies = await self._connection.read_many(
            [
                ("HGET", _key(scope.decode(), f"incident:{name}"), "body")
                for name, scope in zip(names, scopes, strict=True)
                if scope is not None
            ]
        )
        return [decode(body, Incident) for body in bodies if body is not None]

    async def _of_scopes(self, command: Callable[[str], Command]) -> list[Any]:
        members = await self._connection.read("SMEMBERS", _SCOPES)
        scopes = sorted(member.decode() for member in members)
        replies = await self._connection.read_many([command(scope) for scope in scopes])
        return [reply for reply in replies if reply is not None]


def _key(scope: Scope | str, part: str) -> str:
    return f"rollbackd:{{{scope}}}:{part}"


def _keys(incident: Incident) -> tuple[str, str, str]:
    return (
        _key(incident.scope, f"incident:{incident.id}"),
        _key(incident.scope, "open"),
        _key(incident.scope, f"journal:{incident.id}"),
    )


def _fields(incident: Incident) -> tuple[str, int, int, bytes]:
    return incident.id, incident.version, int(incident.is_open), encode(incident)
