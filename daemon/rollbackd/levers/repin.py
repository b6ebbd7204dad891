"""`repin`: pin the service to the versions of the known good set."""

from typing import ClassVar

from rollbackd.errors import PermanentError
from rollbackd.levers.control_lever import ControlLever
from rollbackd.model.controls import ControlValue, Kind
from rollbackd.model.levers import LeverKind, PlanRequest


class Repin(ControlLever):
    """Writes the whole recorded set of version pins. Stays after the incident."""

    name: ClassVar[str] = "repin"
    kind: ClassVar[LeverKind] = LeverKind.POINTER
    control: ClassVar[Kind] = Kind.PINS

    def plan(self, request: PlanRequest) -> ControlValue | None:
        """The recorded pins, or None when they are in force."""
        if request.known_good is None or not request.known_good.pins:
            raise PermanentError(f"no pins are recorded as known good for {request.target.scope}")
        good: ControlValue = dict(request.known_good.pins)
        return None if request.observed.value == good else good
