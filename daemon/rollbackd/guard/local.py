"""The half of a guard that asks nobody: the last view, and what follows from it.

Nothing here waits, and nothing but a refusal is ever raised: it is on the path of each request.
"""

import logging
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from rollbackd.guard.breaker import CircuitBreaker
from rollbackd.guard.bucketing import Arm, arm_of
from rollbackd.guard.cache_keys import Family, cache_key, checked_pins, family, key_of
from rollbackd.guard.consuming import Turn, Turns
from rollbackd.guard.effects import ReceiptSink
from rollbackd.guard.idempotency import Receipt
from rollbackd.guard.view import View, is_cite_only
from rollbackd.guard.writes import Gate, Write

logger = logging.getLogger("rollbackd.guard")

_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})
_NO_PINS: Final[Mapping[str, str]] = MappingProxyType({})
#: Kinds of cache entries that are remembered; an application has a few.
_FAMILIES: Final = 256


def steady_clock() -> float:
    """Seconds that also pass while the process is stopped and, on Linux, the machine sleeps."""
    try:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    except (AttributeError, OSError):
        return time.monotonic()


class LocalGuard:
    """What an application may ask as often as it likes: nothing here waits for Redis.

    While Redis is away everything stays as it was read last; `age_seconds` and `stale` say how old
    that is. Only writes that are not idempotent are then refused once the lease has passed.
    """

    def __init__(
        self,
        *,
        pins: Mapping[str, str] | None,
        lease_seconds: float,
        clock: Callable[[], float],
        receipts: ReceiptSink | None,
    ) -> None:
        if not lease_seconds > 0:
            raise ValueError(f"a lease lasts for more than {lease_seconds:g} seconds")
        self._own_pins = {} if pins is None else dict(checked_pins(pins))
        #: The last pins that rollbackd set, and what they make of the application's own.
        self._running: tuple[Mapping[str, str], Mapping[str, str]] = (_NO_PINS, _NO_PINS)
        #: What the cache keys of a kind begin with, under one view.
        self._families: tuple[View | None, dict[str, Family]] = None, {}
        self._clock = clock
        self._receipts = receipts
        self._gate = Gate(lease_seconds=lease_seconds, clock=clock)
        self._turns = Turns(self._gate)
        self._breakers: dict[str, CircuitBreaker] = {}
        self._unreachable = False

    @property
    def view(self) -> View:
        """Every control as it was last read; the defaults before the first read."""
        return self._gate.view

    @property
    def age_seconds(self) -> float | None:
        """How long ago the controls were read; None when they never were."""
        return self._gate.age_seconds()

    @property
    def stale(self) -> bool:
        """Whether they were read longer ago than the lease, or never."""
        return self._gate.stale()

    def writes_allowed(self, *, idempotent: bool = False) -> bool:
        """Whether writers are free, as it was read last; for a look only, `write` decides.

        Before the first read a write that is not idempotent is not allowed: nobody knows.
        """
        gate = self._gate
        writes = gate.view.writes
        if writes.blocked:
            return idempotent and not writes.blocks_idempotent
        return idempotent or gate.ever_read

    def write(self, *, idempotent: bool = False) -> Write:
        """Let one write in: `with guard.write() as write:`. Raises WriteRefusedError.

        A freeze is acknowledged only when every write that was let in before it has come out.
        """
        return self._gate.enter(idempotent=idempotent)

    def consumer_paused(self, group: str) -> bool:
        """Whether a Kafka consumer group stands still; for a look only, `consuming` decides."""
        return self._gate.view.consumers.stop(group)

    def consuming(self, group: str) -> Turn:
        """One round of a consumer: `with guard.consuming("billing") as turn:`, `if turn: ...`.

        It covers fetching, handling and committing, for a pause is acknowledged once every turn
        that began before it has ended. Not allowed while the group is paused, and past the lease:
        Kafka keeps what is not consumed. Never raises.
        """
        return self._turns.begin(group)

    @property
    def degrade_level(self) -> int:
        """0 normal, 1 skip rerank, 2 lower k, 3 short chain, 4 cite only."""
        return self._gate.view.degrade_level

    @property
    def cite_only(self) -> bool:
        """Whether to answer with citations alone."""
        return is_cite_only(self._gate.view.degrade_level)

    @property
    def cache_generation(self) -> int:
        """The generation that every cache key carries; it only grows."""
        return self._gate.view.cache.generation

    @property
    def pins(self) -> Mapping[str, str]:
        """The pins to run with: the application's own, and over them those that rollbackd set."""
        return self._over(self._gate.view.pins)

    def _over(self, pinned: Mapping[str, str]) -> Mapping[str, str]:
        known, running = self._running
        if known is not pinned:
            running = MappingProxyType({**self._own_pins, **pinned})
            self._running = pinned, running
        return running

    def control(self, name: str) -> Mapping[str, object]:
        """A flag, alias or pointer as `kind:name`; empty when it was never written."""
        return self._gate.view.others.get(name, _NOTHING)

    def arm(self, flag: str, user: str) -> Arm:
        """The arm of a user for a flag: as over OFREP, and for as long as the weights stay."""
        return arm_of(self._gate.view.shares.get(flag, 0.0), flag, user)

    def cache_key(self, kind: str, *parts: str, pins: Mapping[str, str] | None = None) -> str:
        """A key for the running pins (or those of an arm) and the generation; see `cache_key`.

        Raises ValueError when neither the guard nor the call has the pins that a key needs.
        """
        view = self._gate.view
        if pins is not None:
            return cache_key(kind, *parts, pins=pins, cache=view.cache)
        known, families = self._families
        if known is not view:
            families = {}
            self._families = view, families
        common = families.get(kind)
        if common is None:
            common = family(kind, pins=self._over(view.pins), cache=view.cache)
            if len(families) < _FAMILIES:
                families[kind] = common
        return key_of(common, parts)

    def breaker(
        self,
        name: str,
        *,
        failures: int = 5,
        cool_down_seconds: float = 10.0,
        probes: int = 1,
    ) -> CircuitBreaker:
        """The circuit breaker of one thing that is called, such as `llm`: one for each name."""
        made = self._breakers.get(name)
        if made is None:
            made = CircuitBreaker(
                clock=self._clock,
                forced=lambda: self._gate.view.throttle.breaker,
                failures=failures,
                cool_down_seconds=cool_down_seconds,
                probes=probes,
            )
        # of two threads that come first, both get the breaker that was put there first
        return self._breakers.setdefault(name, made)

    def _emit(self, receipt: Receipt) -> None:
        if self._receipts is None:
            return
        try:
            self._receipts(receipt)
        except Exception:
            # the effect stands; a sink that fails must not make it look undone
            logger.exception("a receipt was not taken", extra={"effect_id": receipt.effect_id})

    def _report(self, error: Exception | None) -> None:
        if error is not None and not self._unreachable:
            logger.warning(
                "the controls stay as they were read last", extra={"because": str(error)}
            )
        if error is None and self._unreachable:
            logger.info("the controls are read again")
        self._unreachable = error is not None
