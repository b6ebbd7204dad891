"""`kafka_pause`: let Kafka consumers stand still (requirements C2, F2)."""

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from rollbackd.levers.control_lever import ControlLever
from rollbackd.levers.lever_type import params_of
from rollbackd.model.controls import ControlValue, Kind
from rollbackd.model.levers import LeverKind, PlanRequest


class KafkaPauseParams(msgspec.Struct, frozen=True, kw_only=True):
    """Whose consumers."""

    groups: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=256)]],
        Meta(max_length=100, description="Consumer groups; none named are all of the scope."),
    ] = []


class KafkaPause(ControlLever):
    """Pauses the scope's Kafka consumers: they keep their partitions and fetch nothing.

    Temporary: it never expires by itself, it is given back by the daemon or reported as overdue.
    """

    name: ClassVar[str] = "kafka_pause"
    kind: ClassVar[LeverKind] = LeverKind.TEMPORARY
    control: ClassVar[Kind] = Kind.CONSUMERS
    Params: ClassVar[type[msgspec.Struct]] = KafkaPauseParams

    def plan(self, request: PlanRequest) -> ControlValue | None:
        """The pause, wider by what is paused already, or None when that is wide enough."""
        wanted = set(params_of(request, KafkaPauseParams).groups)
        now = request.observed.value
        if now.get("paused"):
            paused = _groups(now.get("groups"))
            if not paused or (wanted and wanted <= paused):
                return None
            wanted = wanted and wanted | paused
        return {"paused": True, "groups": sorted(wanted)}


def _groups(value: object) -> set[str]:
    """As a guard reads them: what is no list of names is every group."""
    known = isinstance(value, list) and all(isinstance(group, str) for group in value)
    return set(value) if isinstance(value, list) and known else set()
