"""What the process is set up with: its clock, its metrics registry, its garbage collector."""

import gc

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)

from rollbackd.clock import Clock, ScaledClock, SystemClock
from rollbackd.settings import ClockSettings


def spare_the_collector() -> None:
    """What start-up built lives as long as the process.

    Looking through it and the windows at every turn was measured to cost a fifth of the CPU under
    load (docs/performance.md).
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def process_registry() -> CollectorRegistry:
    """A registry with what is known of the process itself."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def clock_of(chosen: ClockSettings) -> Clock:
    """The machine's clock, or one that runs as a drill wants it to."""
    if chosen.speed == 1.0 and chosen.start_ms is None:
        return SystemClock()
    start_ms = chosen.start_ms if chosen.start_ms is not None else SystemClock().now()
    return ScaledClock(start_ms=start_ms, speed=chosen.speed)
