"""A storm of 429 that backoff does not calm (requirements W6): `throttle_state`."""

from enum import IntEnum
from typing import Final

from rollbackd.model.events import Sample
from rollbackd.model.facts import Retried
from rollbackd.model.labels import Scope
from rollbackd.settings.detectors import ThrottleStormsBounds
from rollbackd.triggers.detectors.detector import Lateness
from rollbackd.triggers.detectors.emission import Lines
from rollbackd.triggers.detectors.scopes import Scopes

#: The ratio is that of the last minute, from buckets of five seconds.
_RATIO_MS: Final = 60_000
_BUCKET_MS: Final = 5_000


class ThrottleState(IntEnum):
    """How bad it is; the value of the series."""

    CALM = 0
    #: Above the limit; backoff may still help.
    BURST = 1
    #: Still above it after a whole window in which clients backed off.
    STORM = 2


class _Sums:
    """What clients told in one bucket of time."""

    __slots__ = ("adhered", "requests", "retries", "throttled")

    def __init__(self) -> None:
        self.requests = self.throttled = self.retries = self.adhered = 0

    def add(self, fact: "Retried | _Sums") -> None:
        self.requests += fact.requests
        self.throttled += fact.throttled
        self.retries += fact.retries
        self.adhered += fact.adhered

    @property
    def ratio(self) -> float:
        return self.throttled / self.requests if self.requests else 0.0

    @property
    def adherence(self) -> float:
        """Retries that waited; who does not retry at all waits long enough."""
        return self.adhered / self.retries if self.retries else 1.0


class _State:
    __slots__ = ("buckets", "lines", "since_ms", "state")

    def __init__(self, scope: Scope) -> None:
        self.lines = Lines(scope)
        self.buckets: dict[int, _Sums] = {}
        self.state = ThrottleState.CALM
        #: When it entered the state.
        self.since_ms = 0

    def sums(self, newest_ms: int, span_ms: int) -> _Sums:
        total = _Sums()
        for begin, sums in self.buckets.items():
            if begin > newest_ms - span_ms:
                total.add(sums)
        return total

    def expire(self, newest_ms: int, span_ms: int) -> None:
        for begin in [b for b in self.buckets if b <= newest_ms - span_ms]:
            del self.buckets[begin]


class ThrottleStorms:
    """Calm, burst, storm: once each, however the ratio swings.

    Burst when the ratio of a minute is over `limit`. Storm when a window after that both the ratio
    of the minute and that of the window are, and clients waited as `Retry-After` asked for at
    least `adherence` of their retries. Calm again at or under `calm`: a burst at once, a storm
    when the whole window is. Under `requests` in the minute nothing begins, and either ends as a
    storm does, or with a window in which nobody told anything.
    """

    name = "throttle_storms"

    def __init__(self, bounds: ThrottleStormsBounds, *, scopes: int, lateness: Lateness) -> None:
        self._bounds = bounds
        self._scopes = Scopes(_State, scopes)
        self._lateness = lateness

    @property
    def evicted(self) -> int:
        """Scopes that were forgotten for others."""
        return self._scopes.evicted

    def take(self, fact: Retried, at_ms: int, origin: str, out: list[Sample]) -> None:
        """What one client did in one window."""
        state, newest_ms = self._scopes.of(fact.scope, at_ms, origin)
        if self._lateness.refuses(at_ms, newest_ms, self._bounds.window_ms):
            return
        begin = at_ms // _BUCKET_MS * _BUCKET_MS
        state.expire(newest_ms, max(self._bounds.window_ms, _RATIO_MS))
        if not state.buckets:
            state.state = ThrottleState.CALM
        state.buckets.setdefault(begin, _Sums()).add(fact)
        minute = state.sums(newest_ms, _RATIO_MS)
        self._step(state, minute, newest_ms)
        if minute.requests >= self._bounds.requests:
            state.lines.of("throttled_ratio").set(minute.ratio, newest_ms, out)
            state.lines.of("retry_after_adherence").set(minute.adherence, newest_ms, out)
        state.lines.of("throttle_state").set(state.state, newest_ms, out)

    def forget(self, origin: str) -> None:
        """See Detector."""
        self._scopes.forget(origin)

    def _step(self, state: _State, minute: _Sums, newest_ms: int) -> None:
        bounds = self._bounds
        enough = minute.requests >= bounds.requests
        to = state.state
        if to is ThrottleState.CALM:
            to = ThrottleState.BURST if enough and minute.ratio > bounds.limit else to
        elif to is ThrottleState.BURST and enough and minute.ratio <= bounds.calm:
            to = ThrottleState.CALM
        elif newest_ms - state.since_ms >= bounds.window_ms:
            window = state.sums(newest_ms, bounds.window_ms)
            if window.ratio <= bounds.calm:
                to = ThrottleState.CALM
            elif enough and min(minute.ratio, window.ratio) > bounds.limit:
                waited = window.adherence >= bounds.adherence
                to = ThrottleState.STORM if waited else to
        if to is not state.state:
            state.state, state.since_ms = to, newest_ms
