"""`throttle`: a token budget and a circuit breaker (requirements C6)."""

from typing import Annotated, ClassVar, Final, Literal, TypeGuard

import msgspec
from msgspec import Meta

from rollbackd.levers.control_lever import ControlLever
from rollbackd.levers.lever_type import params_of
from rollbackd.model.controls import DEFAULTS, ControlValue, Kind
from rollbackd.model.levers import LeverKind, PlanRequest

#: From loose to strict.
BREAKER: Final = ("closed", "half_open", "open")


class ThrottleParams(msgspec.Struct, frozen=True, kw_only=True):
    """How much is admitted."""

    requests_per_second: Annotated[
        float, Meta(ge=0, description="Requests a second that a scope admits.")
    ] = 20
    burst: Annotated[float, Meta(ge=0, description="So many at once, above the rate.")] = 40
    tenant_requests_per_second: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="Requests a second of each tenant; no limit where it is left out."),
    ] = None
    tenant_burst: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="So many of a tenant at once; left out, one second's worth."),
    ] = None
    breaker: Annotated[
        Literal["closed", "half_open", "open"],
        Meta(description="`open` refuses all, `half_open` lets single requests try."),
    ] = "closed"


class Throttle(ControlLever):
    """Sets the request budgets of a scope and of its tenants, and the breaker.

    Temporary. It never loosens a limit that is stricter already.
    """

    name: ClassVar[str] = "throttle"
    kind: ClassVar[LeverKind] = LeverKind.TEMPORARY
    control: ClassVar[Kind] = Kind.THROTTLE
    Params: ClassVar[type[msgspec.Struct]] = ThrottleParams

    def plan(self, request: PlanRequest) -> ControlValue | None:
        """The stricter of old and new for each limit, or None when they are in force."""
        params, now = params_of(request, ThrottleParams), request.observed.value
        rate, burst = _stricter_budget(
            (params.requests_per_second, params.burst),
            (now.get("requests_per_second"), now.get("burst")),
        )
        wanted: ControlValue = {
            "requests_per_second": rate,
            "burst": burst,
            "breaker": _stricter(params.breaker, now.get("breaker")),
        }
        rate, burst = _stricter_budget(
            (params.tenant_requests_per_second, params.tenant_burst),
            (now.get("tenant_requests_per_second"), now.get("tenant_burst")),
        )
        if rate is not None:
            wanted |= {"tenant_requests_per_second": rate, "tenant_burst": burst}
        stands = {**DEFAULTS[Kind.THROTTLE], **now}
        in_force = all(stands.get(name) == limit for name, limit in wanted.items())
        return None if in_force else wanted


def _stricter_budget(
    wanted: tuple[float | None, float | None], now: tuple[object, object]
) -> tuple[float | None, float | None]:
    """Rate and burst; a rate without a burst admits one second's worth at once, and at least 1."""
    rate = _lower(wanted[0], now[0])
    if rate is None:
        return None, None
    bursts = [
        burst if burst is not None else max(1, given)
        for given, burst in (_read(wanted), _read(now))
        if given is not None
    ]
    return rate, _plain(min(bursts))


def _read(budget: tuple[object, object]) -> tuple[float | None, float | None]:
    rate, burst = budget
    return (rate if _is_number(rate) else None), (burst if _is_number(burst) else None)


def _lower(wanted: float | None, now: object) -> float | None:
    limits = [limit for limit in (wanted, now) if _is_number(limit)]
    return _plain(min(limits)) if limits else None


def _plain(limit: float) -> float:
    return int(limit) if limit == int(limit) else limit


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _stricter(wanted: str, now: object) -> str:
    known = [word for word in BREAKER if word in {wanted, now}]
    return known[-1]
