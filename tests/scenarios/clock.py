"""Time for a scenario: it moves only when everybody waits, from one moment to the next."""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

#: The wall clock when a scenario begins, in milliseconds.
START_MS: Final = 1_790_000_000_000


class ScenarioClock:
    """A wall clock that may be set, over time that only goes forward."""

    def __init__(self) -> None:
        #: Milliseconds since the beginning; sleepers and deadlines go by these.
        self.elapsed_ms = 0.0
        #: How far the wall clock was set, forward or back.
        self.skew_ms = 0
        self._numbers = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> int:
        """Wall time in milliseconds."""
        return START_MS + int(self.elapsed_ms) + self.skew_ms

    def monotonic(self) -> float:
        """Seconds since the beginning."""
        return self.elapsed_ms / 1_000

    async def sleep(self, milliseconds: float) -> None:
        """Wait until the time was moved that far."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        due_ms = self.elapsed_ms + max(milliseconds, 0.0)
        heapq.heappush(self._sleepers, (due_ms, next(self._numbers), waiter))
        await waiter

    def next_due_ms(self) -> float | None:
        """When the next sleeper wakes; None when nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def move_to(self, elapsed_ms: float) -> None:
        """Move the time on, and wake who is due."""
        self.elapsed_ms = max(self.elapsed_ms, elapsed_ms)
        while (due_ms := self.next_due_ms()) is not None and due_ms <= self.elapsed_ms:
            heapq.heappop(self._sleepers)[2].set_result(None)


class Traffic:
    """How many calls to adapters are under way: while there are any, time stands still."""

    def __init__(self) -> None:
        self.under_way = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    def __enter__(self) -> None:
        self.under_way += 1
        self._quiet.clear()

    def __exit__(self, *_: object) -> None:
        self.under_way -= 1
        if not self.under_way:
            self._quiet.set()

    async def settle(self) -> None:
        """Return when nobody can go on without time passing."""
        loop = asyncio.get_running_loop()
        while True:
            await self._quiet.wait()
            await asyncio.sleep(0)
            # what is ready to run is known to the loop alone
            if not self.under_way and not loop._ready:  # type: ignore[attr-defined]
                return


class NoThreads(ThreadPoolExecutor):
    """Does in the loop what is meant for a thread: time cannot pass beside it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Do it now."""
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  # whoever waits for it gets it
            done.set_exception(error)
        return done
