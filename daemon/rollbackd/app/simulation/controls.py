"""The simulated control plane: fenced, versioned and idempotent as the real ones are."""

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from rollbackd.controls.values import OP_MEMORY_MS, checked_name, decode_value, encode_value
from rollbackd.errors import TemporaryError
from rollbackd.model.controls import Control, ControlValue, ControlWrite, WriteResult
from rollbackd.model.labels import Scope
from rollbackd.model.levers import Op

#: Hears of a control that changed: scope, before, after, and the op that did it (None: a person).
OnChange = Callable[[Scope, Control, Control, Op | None], None]
#: Hears of a control that was read, and of how a write ended.
OnRead = Callable[[Scope, Control], None]
OnWrite = Callable[[Scope, ControlWrite, Op], None]
#: Hears of a fence that stands at an epoch.
OnFence = Callable[[Scope, int], None]

_HUMAN: Final = "by-hand"


class SimulatedControls:
    """Implements `ports.Controls`: as durable as this object, which replicas share."""

    def __init__(
        self,
        *,
        on_change: OnChange = lambda _scope, _before, _after, _op: None,
        on_read: OnRead = lambda _scope, _control: None,
        on_write: OnWrite = lambda _scope, _write, _op: None,
        on_fence: OnFence = lambda _scope, _epoch: None,
    ) -> None:
        self.closed = False
        self._on_change = on_change
        self._on_read = on_read
        self._on_write = on_write
        self._on_fence = on_fence
        self._controls: dict[Scope, dict[str, Control]] = {}
        self._fences: dict[Scope, int] = {}
        self._ops: dict[tuple[Scope, str], tuple[Control, int]] = {}

    def look(self, scope: Scope, name: str) -> Control:
        """What stands, at no cost and heard by nobody."""
        known = self._controls.get(scope, {}).get(name)
        return replace(known or Control(name=name), epoch=self._fences.get(scope, 0))

    async def read(self, scope: Scope, name: str) -> Control:
        """See `ports.Controls`."""
        self._check_open()
        control = self.look(scope, checked_name(name))
        self._on_read(scope, control)
        return control

    async def read_all(self, scope: Scope) -> dict[str, Control]:
        """See `ports.Controls`."""
        self._check_open()
        return {name: self.look(scope, name) for name in sorted(self._controls.get(scope, {}))}

    async def set_intent(
        self, scope: Scope, name: str, value: ControlValue, *, now_ms: int
    ) -> Control:
        """See `ports.Controls`."""
        self._check_open()
        value = _copied(checked_name(name), value)
        before = self.look(scope, name)
        after = replace(before, intent=value, version=before.version + 1, updated_at_ms=now_ms)
        self._keep(scope, before, after, None)
        return after

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
        """See `ports.Controls`."""
        self._check_open()
        value = None if value is None else _copied(checked_name(name), value)
        before = self.look(scope, checked_name(name))
        replayed = self._ops.get((scope, op.op_id))
        if replayed is not None and replayed[1] >= now_ms - OP_MEMORY_MS:
            write = ControlWrite(result=WriteResult.REPLAYED, control=replayed[0])
        elif self.is_stale(scope, op):
            write = ControlWrite(result=WriteResult.STALE_EPOCH, control=before)
        elif expected_version != before.version:
            write = ControlWrite(result=WriteResult.CONFLICT, control=before)
        else:
            self._fences[scope] = op.epoch
            after = replace(
                before,
                trip=value,
                version=before.version + 1,
                epoch=op.epoch,
                op_id=op.op_id,
                incident_id=op.incident_id,
                updated_at_ms=now_ms,
            )
            self._ops[scope, op.op_id] = after, now_ms
            self._keep(scope, before, after, op)
            write = ControlWrite(result=WriteResult.APPLIED, control=after)
        self._on_write(scope, write, op)
        return write

    def is_stale(self, scope: Scope, op: Op) -> bool:
        """Whether a higher epoch has written the scope."""
        return op.epoch < self._fences.get(scope, 0)

    def move_by_hand(self, scope: Scope, name: str, trip: ControlValue | None) -> None:
        """Somebody writes the target itself, past every fence."""
        before = self.look(scope, name)
        after = replace(before, trip=trip, version=before.version + 1, op_id=_HUMAN, incident_id="")
        self._keep(scope, before, after, None)

    async def fence(self, scope: Scope, epoch: int) -> int:
        """See `ports.Controls`."""
        self._check_open()
        highest = self._fences[scope] = max(epoch, self._fences.get(scope, 0))
        self._on_fence(scope, highest)
        return highest

    async def scopes(self) -> list[Scope]:
        """See `ports.Controls`."""
        return sorted(self._controls)

    async def close(self) -> None:
        """See `ports.Controls`."""
        self.closed = True

    def _keep(self, scope: Scope, before: Control, after: Control, op: Op | None) -> None:
        self._controls.setdefault(scope, {})[after.name] = after
        self._on_change(scope, before, after, op)

    def _check_open(self) -> None:
        if self.closed:
            raise TemporaryError("the simulated target is closed")


def _copied(name: str, value: ControlValue) -> ControlValue:
    """The value as it would read back. Raises BadControlError."""
    copied = decode_value(encode_value(name, value))
    assert copied is not None
    return copied
