"""The service in the demo: routes, caches, sheds and defers as its controls tell it to.

This is what any application has to do to be rolled back: read the effective controls, obey them,
and put its pins on what it emits.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from rollbackd.cli.demo.recording import Outcome, Request
from rollbackd.model.controls import DEFAULTS, ControlValue, Kind

BASELINE: Final = "baseline"
CANARY: Final = "canary"
FLAG: Final = "flag:canary"

#: What a response from the cache costs, as a share of a full one.
_CACHED: Final = 0.95
#: What each degrade level takes off the latency.
_LEVEL_GAIN: Final = 0.1
_RECENT: Final = 600


@dataclass(frozen=True, slots=True)
class Served:
    """One request as the service handled it."""

    request: Request
    arm: str
    outcome: Outcome
    cached: bool = False
    shed: bool = False
    deferred: bool = False


@dataclass(slots=True)
class Bucket:
    """A token bucket on recorded time; None is no limit."""

    tokens: float = 0.0
    filled_at_ms: int = 0

    def admit(self, now_ms: int, rate: float | None, burst: float) -> bool:
        """Whether one more request fits."""
        if rate is None:
            self.tokens, self.filled_at_ms = burst, now_ms
            return True
        gained = (now_ms - self.filled_at_ms) / 1_000 * rate
        self.tokens = min(burst, self.tokens + max(0.0, gained))
        self.filled_at_ms = now_ms
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass(slots=True)
class Application:
    """The service; `controls` is what it last read."""

    controls: Mapping[str, ControlValue] = field(default_factory=dict)
    recent: deque[Served] = field(default_factory=lambda: deque(maxlen=_RECENT))
    _cache: set[tuple[object, str, int]] = field(default_factory=set)
    _bucket: Bucket = field(default_factory=Bucket)

    def serve(self, request: Request) -> Served:
        """Handle one request under the controls."""
        served = self._handled(request)
        self.recent.append(served)
        return served

    def arm_for(self, request: Request) -> str:
        """The arm of this user: the trip switch first, then the weight."""
        flag = self._control(FLAG, Kind.FLAG)
        weight = 0.0 if flag.get("global_off") else _number(flag.get("canary_weight"), 0.0)
        return CANARY if request.bucket < weight else BASELINE

    def share(self, arm: str) -> float:
        """The share of the recent requests that went to an arm."""
        return sum(s.arm == arm for s in self.recent) / len(self.recent) if self.recent else 0.0

    def shed_share(self) -> float:
        """The share of the recent requests that the throttle turned away."""
        return sum(s.shed for s in self.recent) / len(self.recent) if self.recent else 0.0

    def _handled(self, request: Request) -> Served:
        arm = self.arm_for(request)
        outcome = request.canary if arm == CANARY else request.baseline
        throttle = self._control("throttle", Kind.THROTTLE)
        limit = throttle.get("requests_per_second")
        rate = None if limit is None else _number(limit, 0.0)
        burst = _number(throttle.get("burst"), 40.0)
        if throttle.get("breaker") == "open" or not self._bucket.admit(request.at_ms, rate, burst):
            return Served(request, arm, outcome, shed=True)
        deferred = request.writes and bool(self._control("writes", Kind.WRITES).get("blocked"))
        key = (self._namespace(), arm, request.question)
        cached = key in self._cache
        self._cache.add(key)
        cost = self._cost(cached=cached)
        faster = outcome._replace(latency_ms=round(outcome.latency_ms * cost, 1))
        return Served(request, arm, faster, cached=cached, deferred=deferred)

    def _cost(self, *, cached: bool) -> float:
        level = _number(self._control("degrade", Kind.DEGRADE).get("level"), 0.0)
        return (_CACHED if cached else 1.0) * (1.0 - _LEVEL_GAIN * level)

    def _namespace(self) -> tuple[object, ...]:
        cache = self._control("cache", Kind.CACHE)
        return (cache.get("generation"), cache.get("namespace"))

    def _control(self, name: str, kind: Kind) -> ControlValue:
        return self.controls.get(name, DEFAULTS[kind])


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) else default
