"""Incidents in the Redis store: opening, advancing, and what the guardrails ask of the past.

The indexes under `{store}` are written before the script of a scope runs: they may name an incident
that was never opened, and readers pass over it; they never miss one.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final

from rollbackd.connections.redis import Command, RedisConnection, Script
from rollbackd.errors import PermanentError
from rollbackd.incidents.states import IllegalTransitionError, check_transition
from rollbackd.model.history import Act, History, Latch, Trip, act_of, trip_of
from rollbackd.model.incidents import Incident, JournalRecord, State
from rollbackd.model.labels import Scope
from rollbackd.ports import ScopeBusyError
from rollbackd.stores import redis_keys as at
from rollbackd.stores.records import TRIP_MEMORY_MS, decode, encode, stale

ADVANCE: Final = Script.load(__package__, "advance")
OPEN_INCIDENT: Final = Script.load(__package__, "open_incident")


class RedisIncidents:
    """`change` sends commands that change something, and gives the reply to the last one."""

    def __init__(self, connection: RedisConnection, change: Callable[..., Awaitable[Any]]) -> None:
        self._connection = connection
        self._change = change

    async def open(self, incident: Incident, record: JournalRecord) -> None:
        """See `ports.Store`. Repeating the same call changes nothing."""
        commands: list[Command] = [
            ("SADD", at.SCOPES, str(incident.scope)),
            ("ZADD", at.INCIDENTS, "NX", incident.opened_at_ms, incident.id),
            ("HSETNX", at.INCIDENT_SCOPES, incident.id, str(incident.scope)),
        ]
        if incident.is_open:
            commands.append(("ZADD", at.ACTS, "NX", "+inf", incident.id))
        trip = trip_of(incident)
        if trip is not None:
            commands += (
                ("ZADD", at.TRIPS, "GT", trip.at_ms, f"{trip.scope} {trip.rule}"),
                ("ZREMRANGEBYSCORE", at.TRIPS, "-inf", f"({trip.at_ms - TRIP_MEMORY_MS}"),
            )
        script = OPEN_INCIDENT.call(at.of_incident(incident), *_fields(incident), encode(record))
        match await self._change(*commands, script):
            case [b"busy", other]:
                await self._change(
                    ("ZREM", at.INCIDENTS, incident.id),
                    ("ZREM", at.ACTS, incident.id),
                    ("HDEL", at.INCIDENT_SCOPES, incident.id),
                )
                raise ScopeBusyError(other.decode())
            case [b"exists"]:
                raise PermanentError(f"incident `{incident.id}` is in the store already")

    async def advance(self, incident: Incident, records: Sequence[JournalRecord]) -> None:
        """See `ports.Store`. Repeating the same call changes nothing."""
        script = ADVANCE.call(
            at.of_incident(incident),
            *_fields(incident),
            _leads_to(incident.state),
            *map(encode, records),
        )
        match await self._change(script):
            case [b"missing"]:
                raise stale(incident, None)
            case [b"stale", version]:
                raise stale(incident, int(version))
            case [b"illegal", state]:
                check_transition(State(state.decode()), incident.state)
            case [b"busy", other]:
                raise ScopeBusyError(other.decode())
        if not incident.is_open:
            # behind the script: until it is there, the act is looked at once too often
            await self._change(("ZADD", at.ACTS, act_of(incident).ended_at_ms or 0, incident.id))

    async def of_ids(self, ids: Sequence[str | bytes]) -> list[Incident]:
        """Those that are there, in this order."""
        bodies = await self._of_incidents(ids, "body")
        return [decode(body, Incident) for body in bodies if body is not None]

    async def still_open(self) -> list[Incident]:
        """See `ports.Store.incidents`."""
        ids = await self._of_scopes(lambda scope: ("GET", at.of_scope(scope, "open")))
        found = [incident for incident in await self.of_ids(ids) if incident.is_open]
        return sorted(
            found, key=lambda incident: (incident.opened_at_ms, incident.id), reverse=True
        )

    async def journal(self, incident_id: str) -> list[JournalRecord]:
        """See `ports.Store`."""
        scope = await self._connection.read("HGET", at.INCIDENT_SCOPES, incident_id)
        if scope is None:
            return []
        key = at.of_scope(scope.decode(), f"journal:{incident_id}")
        bodies = await self._connection.read("LRANGE", key, 0, -1)
        return [decode(body, JournalRecord) for body in bodies]

    async def history(self, *, acts_since_ms: int, trips_since_ms: int) -> History:
        """See `ports.Store`."""
        ids, trips, latches, scopes = await self._connection.read_many(
            [
                ("ZRANGE", at.ACTS, acts_since_ms, "+inf", "BYSCORE"),
                ("ZRANGE", at.TRIPS, trips_since_ms, "+inf", "BYSCORE", "WITHSCORES"),
                ("HVALS", at.LATCHES),
                ("SCARD", at.SCOPES),
            ]
        )
        bodies = await self._of_incidents(ids, "act")
        acts = [act for body in bodies if body and _counts(act := decode(body, Act), acts_since_ms)]
        return History(
            acts=sorted(acts, key=lambda act: (act.opened_at_ms, act.incident_id)),
            trips=sorted(_trips(trips), key=lambda t: (t.at_ms, str(t.scope), t.rule)),
            latches=_latches(latches),
            scopes=scopes,
        )

    async def latches(self) -> list[Latch]:
        """See `ports.Store`."""
        return _latches(await self._connection.read("HVALS", at.LATCHES))

    async def put_latch(self, latch: Latch) -> None:
        """See `ports.Store`."""
        await self._change(("HSET", at.LATCHES, f"{latch.scope} {latch.branch}", encode(latch)))

    async def _of_incidents(self, ids: Sequence[str | bytes], field: str) -> list[Any]:
        if not ids:
            return []
        names = [id_.decode() if isinstance(id_, bytes) else id_ for id_ in ids]
        scopes = await self._connection.read("HMGET", at.INCIDENT_SCOPES, *names)
        return await self._connection.read_many(
            [
                ("HGET", at.of_scope(scope.decode(), f"incident:{name}"), field)
                for name, scope in zip(names, scopes, strict=True)
                if scope is not None
            ]
        )

    async def _of_scopes(self, command: Callable[[str], Command]) -> list[Any]:
        members = await self._connection.read("SMEMBERS", at.SCOPES)
        scopes = sorted(member.decode() for member in members)
        replies = await self._connection.read_many([command(scope) for scope in scopes])
        return [reply for reply in replies if reply is not None]


def _fields(incident: Incident) -> tuple[str, int, int, bytes, str, bytes]:
    state, act = str(incident.state), encode(act_of(incident))
    return incident.id, incident.version, int(incident.is_open), encode(incident), state, act


def _leads_to(state: State) -> str:
    """The states that may be followed by this one, each in blanks."""
    return f" {' '.join(before for before in State if _may_follow(before, state))} "


def _may_follow(before: State, after: State) -> bool:
    try:
        check_transition(before, after)
    except IllegalTransitionError:
        return False
    return True


def _counts(act: Act, since_ms: int) -> bool:
    return act.ended_at_ms is None or act.ended_at_ms >= since_ms


def _latches(bodies: Sequence[bytes]) -> list[Latch]:
    latches = [decode(body, Latch) for body in bodies]
    return sorted(latches, key=lambda latch: (str(latch.scope), latch.branch))


def _trips(flat: Sequence[bytes]) -> Iterator[Trip]:
    for member, at_ms in zip(flat[::2], flat[1::2], strict=True):
        scope, _, rule = member.decode().partition(" ")
        yield Trip(scope=Scope.parse(scope), rule=rule, at_ms=int(float(at_ms)))
