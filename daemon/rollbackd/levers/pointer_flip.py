"""`pointer_flip`: flip a blue/green pointer back to the known good side (requirements S1)."""

from typing import ClassVar

from rollbackd.levers.control_lever import ControlLever, known_good_control
from rollbackd.model.controls import ControlValue, Kind
from rollbackd.model.levers import LeverKind, PlanRequest


class PointerFlip(ControlLever):
    """Moves one routing pointer. Stays after the incident."""

    name: ClassVar[str] = "pointer_flip"
    kind: ClassVar[LeverKind] = LeverKind.POINTER
    control: ClassVar[Kind] = Kind.POINTER
    named: ClassVar[bool] = True

    def plan(self, request: PlanRequest) -> ControlValue | None:
        """The recorded target, or None when it is the one in force."""
        good = known_good_control(request, self.control_name(request.target))
        return None if request.observed.value == good else good
