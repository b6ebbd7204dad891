"""An event loop without I/O, threads or real time: time moves when nobody has anything to do."""

import asyncio
import heapq
import random
from asyncio import events
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, Final, TypeVar, TypeVarTuple

from rollbackd.clock import Clock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: Callbacks at one instant after which something turns in circles without time passing.
_MAX_AT_ONE_INSTANT: Final = 20_000

#: The wall clock at virtual second 0, in milliseconds.
START_MS: Final = 1_790_000_000_000


class StuckError(Exception):
    """Nothing can happen any more, or too much happens while no time passes."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs what is ready in an order that `dice` draws, then moves time to the next timer.

    Only what coroutines need is there: no selector, no executor, no signals.
    """

    def __init__(self, dice: random.Random) -> None:
        self._running = False
        super().__init__()
        self.unhandled: list[dict[str, Any]] = []
        self._dice = dice
        self._now = 0.0
        self._ready: list[asyncio.Handle] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timer_count = 0
        self._at_this_instant = 0
        self._stopping = False
        self._closed = False

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self._now

    def run_until_complete(self, future: Any) -> Any:
        """Run until the future is done or `stop` is called. Raises StuckError."""
        task = asyncio.ensure_future(future, loop=self)
        self._stopping = False
        self._running = True
        events._set_running_loop(self)  # noqa: SLF001  # how a loop is made known
        try:
            while not task.done() and not self._stopping:
                self._run_once()
        finally:
            self._running = False
            events._set_running_loop(None)  # noqa: SLF001
        return task.result() if task.done() else None

    def stop(self) -> None:
        """Return from `run_until_complete` after the callbacks that are ready."""
        self._stopping = True

    def close(self) -> None:
        """Cancel what is left and let it unwind."""
        for _ in range(10):
            left = [task for task in asyncio.all_tasks(self) if not task.done()]
            if not left:
                break
            for task in left:
                task.cancel()
            self._at_this_instant = 0
            self.run_until_complete(asyncio.wait(left, timeout=1))
        self._closed = True

    def is_running(self) -> bool:
        """Whether `run_until_complete` is under way."""
        return self._running

    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def get_debug(self) -> bool:
        """Never."""
        return False

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Run a callback at this instant."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run a callback after virtual seconds."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run a callback at a virtual time."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._timer_count += 1
        heapq.heappush(self._timers, (when, self._timer_count, handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        """A future on this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        """A task on this loop."""
        title = None if name is None else str(name)
        return asyncio.Task(coro, loop=self, name=title, context=context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what nobody handled, for the invariants to look at."""
        self.unhandled.append(context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are passed over when they come up."""

    def _run_once(self) -> None:
        if not self._ready:
            self._move_time()
        batch, self._ready = self._ready, []
        self._at_this_instant += len(batch)
        if self._at_this_instant > _MAX_AT_ONE_INSTANT:
            raise StuckError(f"{self._at_this_instant} callbacks while no time passed")
        if len(batch) > 1:
            self._dice.shuffle(batch)
        for handle in batch:
            if not handle.cancelled():
                handle._run()  # noqa: SLF001  # only a loop runs handles

    def _move_time(self) -> None:
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        if not self._timers:
            raise StuckError("everybody waits for ever")
        self._now = max(self._now, self._timers[0][0])
        self._at_this_instant = 0
        while self._timers and self._timers[0][0] <= self._now:
            handle = heapq.heappop(self._timers)[2]
            if not handle.cancelled():
                self._ready.append(handle)


class VirtualClock(Clock):
    """The clock of one simulated machine; its wall time may be set, its sleep does not notice."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.skew_ms = 0
        self._loop = loop

    def now(self) -> int:
        """Wall time in milliseconds, as this machine has it."""
        return START_MS + int(self._loop.time() * 1_000) + self.skew_ms

    def monotonic(self) -> float:
        """Virtual seconds."""
        return self._loop.time()

    async def sleep(self, milliseconds: float) -> None:
        """Wait in virtual time."""
        await asyncio.sleep(milliseconds / 1_000)
