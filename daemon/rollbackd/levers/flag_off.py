"""`flag_off`: send all traffic to the baseline arm, and say why (requirements S3)."""

from typing import ClassVar

from rollbackd.levers.control_lever import ControlLever
from rollbackd.model.controls import ControlValue, Kind
from rollbackd.model.levers import LeverKind, PlanRequest


class FlagOff(ControlLever):
    """Sets `baseline_weight` 1, `canary_weight` 0 and `global_off`. Stays after the incident."""

    name: ClassVar[str] = "flag_off"
    kind: ClassVar[LeverKind] = LeverKind.POINTER
    control: ClassVar[Kind] = Kind.FLAG
    named: ClassVar[bool] = True

    def plan(self, request: PlanRequest) -> ControlValue | None:
        """The killed flag, or None when it is off already."""
        off: ControlValue = {"baseline_weight": 1.0, "canary_weight": 0.0, "global_off": True}
        return None if request.observed.value == off else off
