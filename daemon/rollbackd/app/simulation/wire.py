"""The way from one process to what it calls: delays, faults, and the end of the process."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from rollbackd.app.simulation.faults import FIRST_ACT, Fault, FaultKind
from rollbackd.errors import PermanentError, TemporaryError

if TYPE_CHECKING:
    from rollbackd.app.simulation.replica import Life
    from rollbackd.app.simulation.world import World

#: How long a caller that hears nothing waits, beyond every deadline of its own.
_NEVER_SECONDS: Final = 15.0
_POINTS: Final = {
    "advance": "store.advance",
    "open_incident": "store.open_incident",
    "next_epoch": "store.next_epoch",
    "set_trip": "controls.set_trip",
    "fence": "controls.fence",
    "read": "controls.read",
    "read_all": "controls.read",
}


class CallFaults:
    """The faults of a schedule that strike at a call; each strikes once."""

    def __init__(self, faults: list[Fault]) -> None:
        self.struck: Counter[FaultKind] = Counter()
        self.enabled = True
        self._waiting: dict[tuple[str, int], list[Fault]] = {}
        self._calls: Counter[str] = Counter()
        for fault in faults:
            if fault.point:
                self._waiting.setdefault((fault.point, fault.nth), []).append(fault)

    def at(self, *points: str) -> Fault | None:
        """The fault of this call, which is one of each of `points`, if there is one. Counts it."""
        self._calls.update(points)
        for point in points if self.enabled else ():
            if waiting := self._waiting.get((point, self._calls[point])):
                fault = waiting.pop()
                self.struck[fault.kind] += 1
                return fault
        return None


class Wire:
    """Stands for an adapter in one process; whatever is called on it may go wrong on the way."""

    def __init__(self, world: "World", life: "Life", inner: Any, outage: str) -> None:
        self._world = world
        self._life = life
        self._inner = inner
        self._outage = outage

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._inner, name)
        point = _POINTS.get(name, "store.other")

        async def call(*arguments: Any, **named: Any) -> Any:
            effect = _Effect(self._world, self._life, method, arguments, named)
            result = await self._call(point, effect)
            if name == "read":
                self._life.seen(arguments[0], result)
            return result

        self.__dict__[name] = call
        return call

    async def _call(self, point: str, effect: "_Effect") -> Any:
        world, life = self._world, self._life
        await life.running()
        fault = world.call_faults.at(point, *([FIRST_ACT] if effect.is_first_act else []))
        if fault is not None:
            world.disturb(fault)
            return await self._faulty(fault, effect)
        delay = world.dice.random() * 0.03
        before = world.dice.random() < 0.5
        if point == "controls.set_trip" and world.refuses(effect.arguments, life):
            raise PermanentError("refused by the target")
        if world.is_out(self._outage):
            await asyncio.sleep(delay)
            raise TemporaryError(f"the {self._outage} cannot be reached")
        if before:
            await asyncio.sleep(delay)
            await life.running()
            return effect()
        result = effect()
        await asyncio.sleep(delay)
        await life.running()
        return result

    async def _faulty(self, fault: Fault, effect: "_Effect") -> Any:
        world, life = self._world, self._life
        match fault.kind:
            case FaultKind.CRASH_BEFORE:
                world.crash(life, fault)
                await life.running()
            case FaultKind.CRASH_AFTER:
                effect.quietly()
                world.crash(life, fault)
                await life.running()
            case FaultKind.LOST_REPLY:
                effect.quietly()
                raise TemporaryError("the connection broke while waiting for the reply")
            case FaultKind.UNAVAILABLE:
                raise TemporaryError("connection refused")
            case FaultKind.TIMEOUT_DONE:
                effect.quietly()
                await asyncio.sleep(_NEVER_SECONDS)
                raise TemporaryError("no reply")
            case FaultKind.LATE_EFFECT:
                world.later(fault.for_ms, effect.quietly)
                await asyncio.sleep(_NEVER_SECONDS)
                raise TemporaryError("no reply")
            case FaultKind.STALL if life is world.owner:
                world.oust(life, fault.for_ms, refusing=fault.elsewhere, at=effect.arguments)
                return await self._upon_waking(effect)
            case FaultKind.REFUSED:
                raise PermanentError("refused by the target")
            case FaultKind.REFUSED_DONE:
                effect.quietly()
                raise PermanentError("refused by the target, or so it says")
            case FaultKind.MOVED_BEFORE:
                world.move_by_hand(effect.arguments[0], effect.arguments[1], fault.choice)
            case FaultKind.MOVED_AFTER:
                result = effect()
                world.move_by_hand(effect.arguments[0], effect.arguments[1], fault.choice)
                return result
            case FaultKind.SLOW:
                await asyncio.sleep(min(fault.for_ms / 1_000, _NEVER_SECONDS))
        await life.running()
        return effect()

    async def _upon_waking(self, effect: "_Effect") -> Any:
        """The process has stopped while it sent the call: it is sent when the process goes on.

        So it is even where the caller has given it up: its deadline passes meanwhile.
        """
        sending = self._world.spawn(self._send(effect))
        sending.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(sending)

    async def _send(self, effect: "_Effect") -> Any:
        await self._life.running()
        return effect()


class _Effect:
    """A call that is to happen, under the name of the process that made it."""

    def __init__(
        self,
        world: "World",
        life: "Life",
        method: Callable[..., Awaitable[Any]],
        arguments: tuple[Any, ...],
        named: dict[str, Any],
    ) -> None:
        self.arguments = arguments
        self._world = world
        self._life = life
        self._method = method
        self._named = named

    @property
    def is_first_act(self) -> bool:
        """Whether it is what an incident does first."""
        op = self._named.get("op")
        return op is not None and op.op_id == f"{op.incident_id}:1"

    def __call__(self) -> Any:
        """Make it happen now. Raises what the adapter raises."""
        self._world.writer = self._life
        coroutine = self._method(*self.arguments, **self._named).__await__()
        try:
            next(coroutine)
        except StopIteration as done:
            return done.value
        raise AssertionError("a simulated adapter waits for nothing")

    def quietly(self) -> None:
        """Make it happen where nobody hears of the result."""
        with contextlib.suppress(Exception):
            self()
