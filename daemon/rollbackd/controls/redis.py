"""Controls in Redis, where applications read them: the keys are documented in docs/controls.md.

All keys of one scope share a hash tag, and each script touches one scope only. `SCOPES` is added
to before the script runs, so that a control is never missing from it.

    rollbackd:scopes                            SET of scopes that may have controls
    rollbackd:{service/region}:controls         SET of names of the scope's controls
    rollbackd:{service/region}:control:<name>   HASH, one control
    rollbackd:{service/region}:fence            STRING, highest epoch that has written a trip
    rollbackd:{service/region}:op:<op_id>       HASH, the control as that op left it; 7 days
    rollbackd:{service/region}:changed          channel, the name of a control that has changed
"""

from typing import Final, Self

from rollbackd.connections.redis import RedisConnection, Script
from rollbackd.controls.values import (
    OP_MEMORY_MS,
    checked_name,
    decode_value,
    default_value,
    encode_value,
)
from rollbackd.model.controls import Control, ControlValue, ControlWrite, WriteResult
from rollbackd.model.labels import Scope
from rollbackd.model.levers import Op

SCOPES: Final = "rollbackd:scopes"

_SET_TRIP: Final = Script.load(__package__, "set_trip")
_RAISE_FENCE: Final = Script.load(__package__, "raise_fence")
_SET_INTENT: Final = Script.load(__package__, "set_intent")


class RedisControls:
    """Implements `ports.Controls`; may share its connection with the store."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self._closed = False

    @classmethod
    async def open(cls, connection: RedisConnection) -> Self:
        """Load the scripts into the server."""
        await connection.use(_SET_TRIP, _SET_INTENT, _RAISE_FENCE)
        return cls(connection)

    async def read(self, scope: Scope, name: str) -> Control:
        """See `ports.Controls`."""
        control = _key(scope, f"control:{checked_name(name)}")
        fields, fence = await self._connection.read_many(
            [("HGETALL", control), ("GET", _key(scope, "fence"))]
        )
        return _control(name, fields, fence)

    async def read_all(self, scope: Scope) -> dict[str, Control]:
        """See `ports.Controls`."""
        members = await self._connection.read("SMEMBERS", _key(scope, "controls"))
        names = sorted(member.decode() for member in members)
        fence, *found = await self._connection.read_many(
            [
                ("GET", _key(scope, "fence")),
                *(("HGETALL", _key(scope, f"control:{name}")) for name in names),
            ]
        )
        return {
            name: _control(name, fields, fence)
            for name, fields in zip(names, found, strict=True)
            if fields
        }

    async def set_intent(
        self, scope: Scope, name: str, value: ControlValue, *, now_ms: int
    ) -> Control:
        """See `ports.Controls`."""
        text = encode_value(checked_name(name), value)
        keys = [_key(scope, part) for part in (f"control:{name}", "controls", "fence")]
        call = _SET_INTENT.call(keys, name, text, now_ms, _key(scope, "changed"))
        _, (fields, fence) = await self._connection.write(("SADD", SCOPES, str(scope)), call)
        return _control(name, _pairs(fields), fence)

    async def set_trip(
        self,
        scope: Scope,
        name: str,
        value: ControlValue | None,
        *,
        expected_version: int,
        op: Op,
        now_ms: int,
    ) -> ControlWrite:
        """See `ports.Controls`; a replay returns the control as the first try left it."""
        checked_name(name)
        parts = (f"control:{name}", "controls", "fence", f"op:{op.op_id}")
        call = _SET_TRIP.call(
            [_key(scope, part) for part in parts],
            name,
            "" if value is None else encode_value(name, value),
            default_value(name),
            expected_version,
            op.epoch,
            op.op_id,
            op.incident_id,
            now_ms,
            _key(scope, "changed"),
            OP_MEMORY_MS,
        )
        _, reply = await self._connection.write(("SADD", SCOPES, str(scope)), call)
        result, fields, fence = reply
        return ControlWrite(
            result=WriteResult(result.decode()), control=_control(name, _pairs(fields), fence)
        )

    async def fence(self, scope: Scope, epoch: int) -> int:
        """See `ports.Controls`."""
        (highest,) = await self._connection.write(_RAISE_FENCE.call([_key(scope, "fence")], epoch))
        return int(highest)

    async def scopes(self) -> list[Scope]:
        """See `ports.Controls`."""
        members = await self._connection.read("SMEMBERS", SCOPES)
        scopes = sorted(Scope.parse(member.decode()) for member in members)
        counts = await self._connection.read_many(
            [("EXISTS", _key(scope, "controls")) for scope in scopes]
        )
        return [scope for scope, count in zip(scopes, counts, strict=True) if count]

    async def close(self) -> None:
        """See `ports.Controls`; the connection is closed with its last user."""
        if not self._closed:
            self._closed = True
            await self._connection.release()


def _key(scope: Scope, part: str) -> str:
    return f"rollbackd:{{{scope}}}:{part}"


def _pairs(flat: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _control(name: str, fields: dict[bytes, bytes], fence: bytes | None) -> Control:
    return Control(
        # a replayed op tells which control it was that it wrote
        name=fields.get(b"name", name.encode()).decode(),
        intent=decode_value(fields.get(b"intent")),
        trip=decode_value(fields.get(b"trip")),
        version=int(fields.get(b"version", 0)),
        epoch=int(fence or 0),
        op_id=fields.get(b"op_id", b"").decode(),
        incident_id=fields.get(b"incident_id", b"").decode(),
        updated_at_ms=int(fields.get(b"updated_at_ms", 0)),
    )
