"""`degrade`: answer with less work (requirements P1)."""

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from rollbackd.levers.control_lever import ControlLever
from rollbackd.levers.lever_type import params_of
from rollbackd.model.controls import ControlValue, Kind
from rollbackd.model.levers import LeverKind, PlanRequest


class DegradeParams(msgspec.Struct, frozen=True, kw_only=True):
    """How far to go down."""

    level: Annotated[
        int,
        Meta(ge=0, le=4, description="1 skip rerank, 2 lower k, 3 short chain, 4 cite only."),
    ] = 2


class Degrade(ControlLever):
    """Raises the degrade level: 1 skip rerank, 2 lower k, 3 short chain, 4 cite only.

    Temporary. It never lowers a level that is higher already.
    """

    name: ClassVar[str] = "degrade"
    kind: ClassVar[LeverKind] = LeverKind.TEMPORARY
    control: ClassVar[Kind] = Kind.DEGRADE
    Params: ClassVar[type[msgspec.Struct]] = DegradeParams

    def plan(self, request: PlanRequest) -> ControlValue | None:
        """The wanted level, or None when it is reached."""
        level = params_of(request, DegradeParams).level
        now = request.observed.value.get("level", 0)
        return None if isinstance(now, int) and now >= level else {"level": level}
