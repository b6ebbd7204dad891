"""Controls that nobody reads: production levers move them, and nothing follows."""

from msgspec.structs import replace

from rollbackd.model.controls import Control, ControlValue, ControlWrite, WriteResult
from rollbackd.model.labels import Scope
from rollbackd.model.levers import Op


class DryControls:
    """Implements `ports.Controls` in memory.

    A control of version 0 is one that the recording says nothing about.
    """

    def __init__(self) -> None:
        self._controls: dict[Scope, dict[str, Control]] = {}
        self._fences: dict[Scope, int] = {}

    def record(self, scope: Scope, intents: dict[str, ControlValue]) -> None:
        """Set what the recording says of a scope, and forget what levers did to it."""
        self._controls[scope] = {
            name: Control(name=name, intent=value, version=1) for name, value in intents.items()
        }

    async def read(self, scope: Scope, name: str) -> Control:
        """See `ports.Controls`."""
        return self._controls.get(scope, {}).get(name) or Control(name=name)

    async def read_all(self, scope: Scope) -> dict[str, Control]:
        """See `ports.Controls`."""
        return dict(self._controls.get(scope, {}))

    async def set_intent(
        self, scope: Scope, name: str, value: ControlValue, *, now_ms: int
    ) -> Control:
        """See `ports.Controls`."""
        control = await self.read(scope, name)
        return self._keep(
            scope, replace(control, intent=value, version=control.version + 1, updated_at_ms=now_ms)
        )

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
        control = await self.read(scope, name)
        if control.op_id == op.op_id:
            return ControlWrite(result=WriteResult.REPLAYED, control=control)
        if op.epoch < self._fences.get(scope, 0):
            return ControlWrite(result=WriteResult.STALE_EPOCH, control=control)
        if control.version != expected_version:
            return ControlWrite(result=WriteResult.CONFLICT, control=control)
        self._fences[scope] = op.epoch
        tripped = replace(
            control,
            trip=value,
            version=control.version + 1,
            epoch=op.epoch,
            op_id=op.op_id,
            incident_id=op.incident_id,
            updated_at_ms=now_ms,
        )
        return ControlWrite(result=WriteResult.APPLIED, control=self._keep(scope, tripped))

    async def fence(self, scope: Scope, epoch: int) -> int:
        """See `ports.Controls`."""
        highest = max(epoch, self._fences.get(scope, 0))
        self._fences[scope] = highest
        return highest

    async def scopes(self) -> list[Scope]:
        """See `ports.Controls`."""
        return sorted(self._controls)

    async def close(self) -> None:
        """See `ports.Controls`."""

    def _keep(self, scope: Scope, control: Control) -> Control:
        self._controls.setdefault(scope, {})[control.name] = control
        return control
