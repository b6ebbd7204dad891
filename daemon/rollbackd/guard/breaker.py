"""A circuit breaker: after failures in a row it answers by itself, then lets a few calls try.

closed -> open after `failures` in a row; open -> half open after `cool_down_seconds`; half open ->
closed after `probes` successes, or open again at the first failure
(https://martinfowler.com/bliki/CircuitBreaker.html). rollbackd's `throttle` control may force it.
"""

import threading
from collections.abc import Callable
from enum import StrEnum
from types import TracebackType

from rollbackd.guard.errors import GuardError


class BreakerState(StrEnum):
    """From loose to strict."""

    #: Every call passes.
    CLOSED = "closed"
    #: So many calls at once as there are probes.
    HALF_OPEN = "half_open"
    #: None passes.
    OPEN = "open"


class BreakerOpenError(GuardError):
    """The call was not made: what it would have called does not work, or rollbackd said no."""


class CircuitBreaker:
    """Counts the failures of one thing that is called. Safe for threads and for asyncio.

    `forced` is what the control says: the stricter of it and of what was counted holds.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        forced: Callable[[], str] = lambda: "closed",
        failures: int = 5,
        cool_down_seconds: float = 10.0,
        probes: int = 1,
    ) -> None:
        if failures < 1 or probes < 1 or not cool_down_seconds > 0:
            raise ValueError("failures and probes are at least 1, the cool down is over 0 seconds")
        self._clock = clock
        self._forced = forced
        self._failures = failures
        self._cool_down_seconds = cool_down_seconds
        self._probes = probes
        self._lock = threading.Lock()
        self._failed = 0
        self._succeeded = 0
        self._probing = 0
        self._opened_at: float | None = None

    @property
    def state(self) -> BreakerState:
        """What holds now."""
        counted = self._counted()
        forced = BreakerState(self._forced())
        order = list(BreakerState)
        return max(counted, forced, key=order.index)

    def call(self) -> "BreakerCall":
        """A context manager for one call; entering it raises BreakerOpenError."""
        return BreakerCall(self)

    def enter(self) -> bool:
        """Let one call in; whether it is a probe. Raises BreakerOpenError."""
        with self._lock:
            state = self.state
            if state is BreakerState.CLOSED:
                return False
            if state is BreakerState.OPEN or self._probing >= self._probes:
                raise BreakerOpenError(
                    f"the circuit breaker is {state}", retry_after_seconds=self._wait_seconds()
                )
            self._probing += 1
            return True

    def leave(self, *, probe: bool, failed: bool) -> None:
        """One call has ended."""
        with self._lock:
            self._probing -= probe
            if failed:
                self._failed += 1
                self._succeeded = 0
                if self._failed >= self._failures or (probe and self._opened_at is not None):
                    self._opened_at = self._clock()
                return
            if self._opened_at is None:
                self._failed = 0
            elif probe:
                self._succeeded += 1
                if self._succeeded >= self._probes:
                    self._failed = self._succeeded = 0
                    self._opened_at = None

    def withdraw(self, *, probe: bool) -> None:
        """One call was broken off: it counts neither way."""
        with self._lock:
            self._probing -= probe

    def _counted(self) -> BreakerState:
        if self._opened_at is None:
            return BreakerState.CLOSED
        cooled = self._clock() - self._opened_at >= self._cool_down_seconds
        return BreakerState.HALF_OPEN if cooled else BreakerState.OPEN

    def _wait_seconds(self) -> int:
        if self._opened_at is None:
            return 1
        left = self._cool_down_seconds - (self._clock() - self._opened_at)
        return max(1, round(left))


class BreakerCall:
    """One call through a breaker: an exception that leaves the block is a failure.

    One that is no Exception (a cancelled task, Ctrl-C) says nothing of what was called: as a probe
    it gives its place back.
    """

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker = breaker
        self._probe = False

    def __enter__(self) -> None:
        self._probe = self._breaker.enter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or isinstance(error, Exception):
            self._breaker.leave(probe=self._probe, failed=error is not None)
        else:
            self._breaker.withdraw(probe=self._probe)
