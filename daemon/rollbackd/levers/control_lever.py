"""What all levers on the controls share: the five verbs over one control of a scope."""

from abc import ABC, abstractmethod
from typing import ClassVar, cast

import msgspec

from rollbackd.clock import Clock
from rollbackd.errors import PermanentError
from rollbackd.model.controls import DEFAULTS, Control, ControlValue, Kind, WriteResult
from rollbackd.model.levers import (
    ACT_TIMEOUT_MS,
    Applied,
    Change,
    LeverKind,
    NoParams,
    Observation,
    Op,
    PlanRequest,
    Target,
)
from rollbackd.ports import Controls, FencedOffError, TargetMovedError


class ControlLever(ABC):
    """Lays a trip over one control, and takes it away again.

    A subclass says which control, what kind of lever it is and how the wanted value is planned.
    """

    name: ClassVar[str]
    kind: ClassVar[LeverKind]
    control: ClassVar[Kind]
    Params: ClassVar[type[msgspec.Struct]] = NoParams
    Settings: ClassVar[type[msgspec.Struct] | None] = None
    #: Whether a target of this lever goes by a name (`flag:canary`).
    named: ClassVar[bool] = False
    #: Applications read the very control that is read back.
    reader_timeout_ms: ClassVar[int | None] = None
    act_timeout_ms: ClassVar[int] = ACT_TIMEOUT_MS

    def __init__(self, controls: Controls, clock: Clock) -> None:
        self._controls = controls
        self._clock = clock

    @abstractmethod
    def plan(self, request: PlanRequest) -> ControlValue | None:
        """The wanted value, or None when the control already is as wanted."""

    def place(self, target: Target) -> str:
        """Each scope has a control of its own."""
        return str(target)

    async def observe(self, target: Target) -> Observation:
        """The effective value; `undo` keeps the trip that it came from."""
        control = await self._read(target)
        return Observation(
            value=control.effective, version=control.version, undo={"trip": control.trip}
        )

    async def preflight(self, change: Change) -> str:
        """Refuse to point at nothing: an empty value, or none for what applications read."""
        empty = [key for key, value in change.after.items() if value in ("", None)]
        missing = DEFAULTS[self.control].keys() - change.after.keys()
        if self.kind is LeverKind.POINTER and (empty or missing or not change.after):
            return f"{change.target} would point at nothing: {change.after}"
        return ""

    async def apply(self, change: Change, op: Op) -> Applied:
        """Lay the trip, if the control still has the version that was observed."""
        control, replayed = await self._trip(change.target, change.after, change.before.version, op)
        return Applied(change=change, op_id=op.op_id, version=control.version, replayed=replayed)

    async def verify(self, change: Change) -> bool:
        """Read the effective value back."""
        return (await self._read(change.target)).effective == change.after

    async def revert(self, applied: Applied, op: Op) -> bool:
        """Put the earlier trip (mostly none) back, if ours is still there."""
        change = applied.change
        control = await self._read(change.target)
        if control.op_id == op.op_id:
            return True
        if control.trip != change.after:
            return False
        earlier = cast("ControlValue | None", change.before.undo.get("trip"))
        await self._trip(change.target, earlier, control.version, op)
        return True

    def control_name(self, target: Target) -> str:
        """`flag:canary` for a named target, else the kind alone."""
        return f"{self.control}:{target.name}" if target.name else str(self.control)

    async def _read(self, target: Target) -> Control:
        return await self._controls.read(target.scope, self.control_name(target))

    async def _trip(
        self, target: Target, value: ControlValue | None, version: int, op: Op
    ) -> tuple[Control, bool]:
        write = await self._controls.set_trip(
            target.scope,
            self.control_name(target),
            value,
            expected_version=version,
            op=op,
            now_ms=self._clock.now(),
        )
        if write.result is WriteResult.STALE_EPOCH:
            raise FencedOffError(
                f"{target}: epoch {op.epoch} is stale, {write.control.epoch} wrote"
            )
        if write.result is WriteResult.CONFLICT:
            raise TargetMovedError(
                f"{target}: expected version {version}, found {write.control.version}"
            )
        return write.control, write.result is WriteResult.REPLAYED


def known_good_control(request: PlanRequest, name: str) -> ControlValue:
    """The value that a control had when the known good set was recorded.

    Raises PermanentError when the set does not have it.
    """
    known_good = request.known_good
    value = known_good.controls.get(name) if known_good is not None else None
    if not isinstance(value, dict) or not value:
        raise PermanentError(
            f"the known good set of {request.target.scope} holds no `{name}`; "
            "record it with `baseline.pinned` before a rollout"
        )
    return value
