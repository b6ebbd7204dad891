"""Levers for a backtest: the built-in ones on controls that nobody reads, and stand-ins."""

from collections.abc import Mapping
from typing import ClassVar

from rollbackd.clock import Clock
from rollbackd.levers import BUILT_IN, build_levers, lever_specs
from rollbackd.levers.control_lever import ControlLever
from rollbackd.levers.lever_type import LeverDefinition
from rollbackd.model.controls import ControlValue, Kind
from rollbackd.model.levers import Change, LeverKind, Observation, PlanRequest, Target
from rollbackd.ports import Controls, Lever

#: No recording says what stood in another system, nor what was good there.
_AS_THE_ROLLOUT_LEFT_IT: ControlValue = {"state": "as the rollout left it"}
_PULLED: ControlValue = {"state": "pulled"}


class _StandIn(ControlLever):
    """A lever on another system, which a backtest must not reach: it only moves a note."""

    control: ClassVar[Kind] = Kind.POINTER

    def __init__(self, name: str, kind: LeverKind, controls: Controls, clock: Clock) -> None:
        super().__init__(controls, clock)
        self.name = name  # type: ignore[misc]  # each goes by its own name
        self.kind = kind  # type: ignore[misc]  # and is of the kind of what it stands for

    async def observe(self, target: Target) -> Observation:
        """The note."""
        note = await self._read(target)
        value = _AS_THE_ROLLOUT_LEFT_IT if note.trip is None else note.trip
        return Observation(value=value, version=note.version, undo={"trip": note.trip})

    def plan(self, request: PlanRequest) -> ControlValue | None:
        """Pulled, once."""
        return None if request.observed.value == _PULLED else _PULLED

    async def preflight(self, change: Change) -> str:  # noqa: ARG002  # the port's signature
        """Nothing is known that could speak against it."""
        return ""

    async def verify(self, change: Change) -> bool:
        """Whether the note stands."""
        return (await self.observe(change.target)).value == change.after

    def control_name(self, target: Target) -> str:
        """The note."""
        return f"{self.control}:{target.key.replace(':', '.')}"


def dry_levers(
    controls: Controls, clock: Clock, definitions: Mapping[str, LeverDefinition]
) -> dict[str, Lever]:
    """Every lever that the tree may name, none of which reaches anything."""
    table = build_levers(controls, clock)
    for name, spec in lever_specs(definitions).items():
        if name not in BUILT_IN:
            table[name] = _StandIn(name, spec.kind, controls, clock)
    return table
