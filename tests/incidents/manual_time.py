"""Waiting for asynchronous work on a ManualClock: time moves as soon as everybody sleeps."""

import asyncio
from collections.abc import Callable

from rollbackd.clock import ManualClock

#: Real seconds after which something is stuck for good.
_PATIENCE = 20.0
#: Turns of the loop that handing a result on from task to task takes at most.
_HOPS = 30


async def until(
    clock: ManualClock,
    done: Callable[[], bool],
    threads: Callable[[], tuple[int, int]] = lambda: (0, 0),
) -> None:
    """Let the loop run, and move the time to the next sleeper's when nothing else moves.

    `threads` counts the calls that threads were given and those that they have answered: time
    stands still while one is under way, and until what it leads to had its turns of the loop.
    """
    async with asyncio.timeout(_PATIENCE):
        while not done():
            before, (given, answered) = len(clock._sleepers), threads()
            for _ in range(_HOPS):
                await asyncio.sleep(0)
            # what works in a thread and is not counted is given a moment before time goes on
            await asyncio.sleep(0.0005)
            sleepers = [due for due, waiter in clock._sleepers if not waiter.done()]
            clock._sleepers = [s for s in clock._sleepers if not s[1].done()]
            still = given == answered and threads() == (given, answered)
            if sleepers and not done() and still and len(clock._sleepers) <= before:
                clock.advance(max(0, int(min(sleepers) - clock._now)) or 1)
