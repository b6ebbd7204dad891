"""Time as an argument: the shell holds a Clock, the core is handed `now`.

Wall time is an integer number of milliseconds since the Unix epoch, as in Prometheus; `now` is
read once for a decision and passed down.
"""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Where the shell gets its time from."""

    def now(self) -> int:
        """Wall time, milliseconds since the epoch. May jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for deadlines of I/O."""
        ...

    async def sleep(self, milliseconds: float) -> None:
        """Wait that long on this clock."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> int:
        """Wall time in milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds since some fixed point."""
        return time.monotonic()

    async def sleep(self, milliseconds: float) -> None:
        """Wait in real time."""
        await asyncio.sleep(milliseconds / 1_000)


class ScaledClock:
    """Time that starts at `start_ms` and runs `speed` times as fast: for drills and the demo.

    Windows, holds and deadlines all shorten alike, so the shipped rules run unchanged.
    """

    def __init__(self, *, start_ms: int, speed: float) -> None:
        self._start_ms = start_ms
        self._speed = speed
        self._origin = time.monotonic()

    def now(self) -> int:
        """Scaled wall time in milliseconds."""
        return self._start_ms + int((time.monotonic() - self._origin) * 1_000 * self._speed)

    def monotonic(self) -> float:
        """Real seconds: an I/O deadline is not part of the drill."""
        return time.monotonic()

    async def sleep(self, milliseconds: float) -> None:
        """Wait `milliseconds` of scaled time."""
        await asyncio.sleep(milliseconds / 1_000 / self._speed)


class ManualClock:
    """Time that moves only when told to; sleepers wake in order. For tests and backtests."""

    def __init__(self, start_ms: int = 1_700_000_000_000) -> None:
        self._now = start_ms
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> int:
        """The time last set."""
        return self._now

    def monotonic(self) -> float:
        """The same time in seconds."""
        return self._now / 1_000

    async def sleep(self, milliseconds: float) -> None:
        """Wait until `advance` has moved the time that far."""
        if milliseconds <= 0:
            await asyncio.sleep(0)
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._now + milliseconds, waiter))
        await waiter

    def advance(self, milliseconds: int) -> None:
        """Move time forward and wake the sleepers that are due, earliest first."""
        self._now += milliseconds
        due = sorted((s for s in self._sleepers if s[0] <= self._now), key=lambda s: s[0])
        self._sleepers = [s for s in self._sleepers if s[0] > self._now]
        for _, waiter in due:
            if not waiter.done():
                waiter.set_result(None)
