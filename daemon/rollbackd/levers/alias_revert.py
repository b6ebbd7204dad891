"""`alias_revert`: point a vector index alias back at the known good index (requirements D2)."""

from typing import ClassVar

from rollbackd.levers.control_lever import ControlLever, known_good_control
from rollbackd.model.controls import ControlValue, Kind
from rollbackd.model.levers import LeverKind, PlanRequest


class AliasRevert(ControlLever):
    """Moves the alias `docs_live` from `docs_vB` back to `docs_vA`. Stays after the incident."""

    name: ClassVar[str] = "alias_revert"
    kind: ClassVar[LeverKind] = LeverKind.POINTER
    control: ClassVar[Kind] = Kind.ALIAS
    named: ClassVar[bool] = True

    def plan(self, request: PlanRequest) -> ControlValue | None:
        """The recorded target, or None when it is the one in force."""
        good = known_good_control(request, self.control_name(request.target))
        return None if request.observed.value == good else good
