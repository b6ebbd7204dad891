"""Waiting for asynchronous work on a ManualClock: time moves as soon as everybody sleeps."""

import asyncio
from collections.abc import Callable

from rollbackd.clock import ManualClock

#: Real seconds after which something is stuck for good.
_PATIENCE = 20.0


async def until(clock: ManualClock, done: Callable[[], bool]) -> None:
    """Let the loop run, and move the time to the next sleeper's when nothing else moves."""
    async with asyncio.timeout(_PATIENCE):
        while not done():
            before = len(clock._sleepers)
            # a store works in a thread: give it a moment before time goes on
            for _ in range(5):
                await asyncio.sleep(0)
            await asyncio.sleep(0.0005)
            sleepers = [due for due, waiter in clock._sleepers if not waiter.done()]
            clock._sleepers = [s for s in clock._sleepers if not s[1].done()]
            if sleepers and not done() and len(clock._sleepers) <= before:
                clock.advance(max(0, int(min(sleepers) - clock._now)) or 1)
