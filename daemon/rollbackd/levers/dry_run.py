"""`dry_run`: stand in for another lever, plan and check as it does, and move nothing."""

from typing import Annotated, ClassVar, cast

import msgspec
from msgspec import Meta

from rollbackd.levers.control_lever import ControlLever
from rollbackd.levers.lever_type import Surroundings
from rollbackd.model.controls import ControlValue, Kind
from rollbackd.model.levers import (
    Applied,
    Change,
    LeverKind,
    NoParams,
    Observation,
    Op,
    PlanRequest,
    Target,
)
from rollbackd.ports import Lever


class DryRunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which lever is stood in for."""

    of: Annotated[str, Meta(description="A lever of this file, or a built-in one.")]


class DryRun(ControlLever):
    """Observes, plans and checks through the other lever; the act is a note in the controls.

    The note is `pointer:dry_run.<lever>[.<name>]` of the scope: what would stand there now. No
    application reads it. So a whole incident can run, be verified and be given back.
    """

    name: ClassVar[str] = "dry_run"
    kind: ClassVar[LeverKind] = LeverKind.POINTER
    control: ClassVar[Kind] = Kind.POINTER
    Params: ClassVar[type[msgspec.Struct]] = NoParams
    Settings: ClassVar[type[msgspec.Struct] | None] = DryRunSettings
    named: ClassVar[bool] = False

    def __init__(self, name: str, of: Lever, surroundings: Surroundings) -> None:
        super().__init__(surroundings.controls, surroundings.clock)
        self._inner = of
        self.name = name  # type: ignore[misc]  # each goes by its own name
        self.kind = of.kind  # type: ignore[misc]  # and has a place in the tree as the other has
        self.act_timeout_ms = of.act_timeout_ms  # type: ignore[misc]  # which is asked each time

    async def observe(self, target: Target) -> Observation:
        """What the other lever sees; while the note of a measure stands, that.

        The note of a pointer outlives its incident: what it says is no longer so for the next one,
        and never was so for a known good set.
        """
        note = await self._read(target)
        if self.kind is LeverKind.TEMPORARY and note.trip is not None:
            undo = {"trip": note.trip, "note": note.version}
            return Observation(value=note.trip, version=note.version, undo=undo)
        seen = await self._inner.observe(self._inner_target(target))
        return msgspec.structs.replace(seen, undo={"trip": None, "note": note.version})

    def plan(self, request: PlanRequest) -> ControlValue | None:
        """As the other lever plans, to what was recorded for it, or for this one in its place."""
        target, known_good = self._inner_target(request.target), request.known_good
        mine = known_good.targets.get(request.target.key) if known_good is not None else None
        if known_good is not None and mine is not None:
            targets = {target.key: mine, **known_good.targets}
            known_good = msgspec.structs.replace(known_good, targets=targets)
        return self._inner.plan(
            msgspec.structs.replace(request, target=target, known_good=known_good)
        )

    async def preflight(self, change: Change) -> str:
        """As the other lever checks."""
        target = self._inner_target(change.target)
        return await self._inner.preflight(msgspec.structs.replace(change, target=target))

    async def apply(self, change: Change, op: Op) -> Applied:
        """Write the note, if it still is the one that was there when the other lever looked."""
        version = cast("int", change.before.undo["note"])
        control, replayed = await self._trip(change.target, change.after, version, op)
        return Applied(change=change, op_id=op.op_id, version=control.version, replayed=replayed)

    async def verify(self, change: Change) -> bool:
        """Whether the note stands, or the other system is as wanted without it."""
        if (await self._read(change.target)).trip == change.after:
            return True
        return (await self.observe(change.target)).value == change.after

    def control_name(self, target: Target) -> str:
        """The note."""
        name = f".{target.name}" if target.name else ""
        return f"{self.control}:dry_run.{self._inner.name}{name}"

    def _inner_target(self, target: Target) -> Target:
        return msgspec.structs.replace(target, lever=self._inner.name)
