"""What stands before the adapters of a process: faults, and the moment at which it dies."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.model.controls import Control, ControlWrite, WriteResult
from rollbackd.model.labels import Scope
from tests.scenarios.clock import ScenarioClock, Traffic
from tests.scenarios.timeline import Crash

#: How long a call takes that is slow.
SLOW_MS: Final = 3_000
#: How long an incident dwells in a state that is waited for.
DWELL_MS: Final = 2_500


class Troubles:
    """What is wrong with the world at the moment; it outlives processes."""

    def __init__(self, clock: ScenarioClock) -> None:
        self.clock = clock
        self.store_is_down = False
        #: Control -> what is wrong with it.
        self.faults: dict[str, str] = {}
        self.crash: Crash | None = None
        #: Hears that an incident is about to be stored in a state; whether somebody waits for it.
        self.on_state: Callable[[str, str], bool] = lambda _incident, _state: False
        self.calls: Counter[str] = Counter()

    def plan_crash(self, crash: Crash) -> None:
        """The n-th such call from now on is the last."""
        self.crash = crash
        self.calls.clear()


class Counted:
    """One adapter; what is asked of it counts as traffic until it has answered."""

    def __init__(self, inner: Any, traffic: Traffic) -> None:
        self._inner = inner
        self._traffic = traffic

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            with self._traffic:
                return await method(*args, **kwargs)

        return call


class Gate:
    """One adapter as one process sees it. Once the process is dead nothing comes back."""

    def __init__(
        self, inner: Any, troubles: Troubles, die: Callable[[], None], *, is_store: bool
    ) -> None:
        self._inner = inner
        self._troubles = troubles
        self._is_store = is_store
        self._die = die
        self._dead = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._troubles.calls[name] += 1
            await self._crash_if_planned("before", name)
            await self._trouble_before(name, args)
            if name == "set_trip" and self._fault(name, args) == "ignores":
                result = await self._ignored(*args)
            else:
                result = await method(*args, **kwargs)
            await self._crash_if_planned("after", name)
            self._trouble_after(name, args)
            return result

        return call

    def cut(self) -> None:
        """The process is dead."""
        self._dead = True

    async def _crash_if_planned(self, when: str, name: str) -> None:
        crash = self._troubles.crash
        planned = crash is not None and (crash.at, crash.call) == (when, name)
        if planned and crash is not None and self._troubles.calls[name] >= crash.nth:
            self._troubles.crash = None
            self._die()
        if self._dead:
            await asyncio.Event().wait()

    async def _trouble_before(self, name: str, args: tuple[Any, ...]) -> None:
        troubles = self._troubles
        if name == "advance" and troubles.on_state(args[0].id, str(args[0].state)):
            await troubles.clock.sleep(DWELL_MS)
        if troubles.store_is_down and self._is_store:
            raise TemporaryError("the store cannot be reached", delay_ms=500)
        fault = self._fault(name, args)
        if fault == "slow":
            await troubles.clock.sleep(SLOW_MS)
        if fault == "unreachable":
            raise TemporaryError("the control cannot be reached", delay_ms=500)
        if fault == "refuses" and name == "set_trip":
            raise PermanentError("the control takes no writes")

    async def _ignored(self, scope: Scope, name: str, *_: object) -> ControlWrite:
        """It says yes and does nothing."""
        control: Control = await self._inner.read(scope, name)
        pretended = replace(control, version=control.version + 1)
        return ControlWrite(result=WriteResult.APPLIED, control=pretended)

    def _trouble_after(self, name: str, args: tuple[Any, ...]) -> None:
        if name == "set_trip" and self._fault(name, args) == "loses_reply":
            del self._troubles.faults[args[1]]
            raise TemporaryError("the reply was lost", delay_ms=500)

    def _fault(self, name: str, args: tuple[Any, ...]) -> str:
        """What is wrong with the control that is read or written."""
        faults = self._troubles.faults
        if name in {"read", "set_trip"}:
            return faults.get(args[1], faults.get("all", ""))
        return faults.get("all", "") if name == "read_all" else ""
