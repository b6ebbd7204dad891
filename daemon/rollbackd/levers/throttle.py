"""`throttle`: a token budget and a circuit breaker (requirements C6)."""

from typing import ClassVar

from rollbackd.levers.control_lever import ControlLever
from rollbackd.model.controls import ControlValue, Kind
from rollbackd.model.levers import LeverKind, PlanRequest


class Throttle(ControlLever):
    """Sets the global request budget and the breaker of a scope. Temporary."""

    name: ClassVar[str] = "throttle"
    kind: ClassVar[LeverKind] = LeverKind.TEMPORARY
    control: ClassVar[Kind] = Kind.THROTTLE
    defaults: ClassVar[dict[str, object]] = {
        "requests_per_second": 20,
        "burst": 40,
        "breaker": "closed",
    }

    def plan(self, request: PlanRequest) -> ControlValue | None:
        """The limits, or None when they are in force."""
        wanted = self.params(request)
        return None if request.observed.value == wanted else wanted
