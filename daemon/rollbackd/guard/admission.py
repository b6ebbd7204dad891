"""Token admission: one budget for the scope, and one for each of its tenants (requirement C6).

The buckets are in Redis, so that all processes share them. A bucket admits at most
`burst + requests_per_second * t` requests in any span of t seconds.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rollbackd.guard.errors import GuardUnavailableError
from rollbackd.guard.framing import digest
from rollbackd.guard.keys import ScopeKeys
from rollbackd.guard.scripts import ADMIT, Call
from rollbackd.guard.view import Throttle
from rollbackd.guard.work import Work

#: So many buckets are kept here while Redis is away; the ones that were used last.
_LOCAL_BUCKETS: Final = 10_000


class Admittance(StrEnum):
    """How a request was judged."""

    #: It may run.
    ADMITTED = "admitted"
    #: A budget is used up: 429.
    BUDGET = "budget"
    #: rollbackd holds the breaker open: 503.
    BREAKER = "breaker"


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether one request may run; truthy when it may."""

    judged: Admittance
    #: 0 where it is admitted.
    retry_after_seconds: int = 0
    #: Judged without Redis, by buckets of this process alone.
    local: bool = False

    def __bool__(self) -> bool:
        return self.judged is Admittance.ADMITTED

    @property
    def status(self) -> int:
        """The HTTP status that says so; 429 is RFC 6585, 4."""
        return {Admittance.ADMITTED: 200, Admittance.BUDGET: 429}.get(self.judged, 503)

    @property
    def headers(self) -> dict[str, str]:
        """`Retry-After`, unless it is admitted."""
        return {} if self else {"Retry-After": str(self.retry_after_seconds)}


@dataclass(frozen=True, slots=True)
class Limit:
    """One bucket: tokens per second and at most."""

    key: str
    rate: float
    capacity: float


class LocalBuckets:
    """The same buckets in this process, for while Redis is away. Safe for threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, limits: list[Limit], cost: float) -> int:
        """Milliseconds to wait, 0 for admitted, -1 for never; from every bucket or from none."""
        with self._lock:
            now = self._clock()
            levels = {limit.key: self._level(limit, now) for limit in limits}
            waits = [_wait_ms(limit, levels[limit.key], cost) for limit in limits]
            if -1 in waits:
                return -1
            if any(waits):
                return max(waits)
            for key, level in levels.items():
                self._levels[key] = (level - cost, now)
                self._levels.move_to_end(key)
            while len(self._levels) > _LOCAL_BUCKETS:
                self._levels.popitem(last=False)
            return 0

    def _level(self, limit: Limit, now: float) -> float:
        level, at = self._levels.get(limit.key, (limit.capacity, now))
        return min(limit.capacity, level + max(0.0, now - at) * limit.rate)


def admit(
    keys: ScopeKeys, throttle: Throttle, local: LocalBuckets, *, tenant: str, cost: float
) -> Work[Admission]:
    """See `Guard.admit`."""
    if not 0 < cost < math.inf:
        raise ValueError(f"a request costs a number of tokens over 0, not {cost:g}")
    if throttle.breaker == "open":
        return Admission(Admittance.BREAKER, retry_after_seconds=1)
    limits = _limits(keys, throttle, tenant)
    if not limits:
        return Admission(Admittance.ADMITTED)
    asked = [number for limit in limits for number in (limit.rate, limit.capacity)]
    here = False
    try:
        wait_ms = yield Call(
            ADMIT, [limit.key for limit in limits], (cost, *asked), int, repeatable=False
        )
    except GuardUnavailableError:
        wait_ms, here = local.take(limits, cost), True
    if wait_ms == 0:
        return Admission(Admittance.ADMITTED, local=here)
    wait_seconds = max(1, math.ceil(wait_ms / 1000)) if wait_ms > 0 else 60
    return Admission(Admittance.BUDGET, retry_after_seconds=wait_seconds, local=here)


def _limits(keys: ScopeKeys, throttle: Throttle, tenant: str) -> list[Limit]:
    limits = [_limit(keys.bucket, throttle.requests_per_second, throttle.burst)]
    if tenant:
        key = keys.tenant_bucket(digest("tenant", tenant)[:32])
        limits.append(_limit(key, throttle.tenant_requests_per_second, throttle.tenant_burst))
    return [limit for limit in limits if limit is not None]


def _limit(key: str, rate: float | None, burst: float | None) -> Limit | None:
    if rate is None:
        return None
    if rate == 0:
        return Limit(key, 0.0, 0.0)
    return Limit(key, rate, max(1.0, rate) if burst is None else burst)


def _wait_ms(limit: Limit, level: float, cost: float) -> int:
    if level >= cost:
        return 0
    if limit.rate == 0 or limit.capacity < cost:
        return -1
    return max(1, math.ceil((cost - level) / limit.rate * 1000))
