"""`throttle`: a token budget and a circuit breaker (requirements C6)."""

from typing import ClassVar, Final, TypeGuard

from rollbackd.errors import PermanentError
from rollbackd.levers.control_lever import ControlLever
from rollbackd.model.controls import ControlValue, Kind
from rollbackd.model.levers import LeverKind, PlanRequest

#: From loose to strict.
BREAKER: Final = ("closed", "half_open", "open")


class Throttle(ControlLever):
    """Sets the global request budget and the breaker of a scope.

    Temporary. It never loosens a limit that is stricter already.
    """

    name: ClassVar[str] = "throttle"
    kind: ClassVar[LeverKind] = LeverKind.TEMPORARY
    control: ClassVar[Kind] = Kind.THROTTLE
    defaults: ClassVar[dict[str, object]] = {
        "requests_per_second": 20,
        "burst": 40,
        "breaker": "closed",
    }

    def plan(self, request: PlanRequest) -> ControlValue | None:
        """The stricter of old and new for each limit, or None when they are in force."""
        now, wanted = request.observed.value, self.params(request)
        for key in ("requests_per_second", "burst"):
            wanted[key] = _lower(key, wanted[key], now.get(key))
        wanted["breaker"] = _stricter(wanted["breaker"], now.get("breaker"))
        return None if now == wanted else wanted


def _lower(key: str, wanted: object, now: object) -> int | float:
    if not _is_number(wanted):
        raise PermanentError(f"throttle `{key}: {wanted}` is not a number of at least 0")
    return min(wanted, now) if _is_number(now) else wanted


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _stricter(wanted: object, now: object) -> str:
    if wanted not in BREAKER:
        raise PermanentError(f"throttle breaker `{wanted}` is not one of {', '.join(BREAKER)}")
    known = [word for word in BREAKER if word in {wanted, now}]
    return known[-1]
