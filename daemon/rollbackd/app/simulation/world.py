"""Everything that outlives a process: store, controls, services, and what happens to them."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from rollbackd.app.simulation.board import Firing
from rollbackd.app.simulation.controls import SimulatedControls
from rollbackd.app.simulation.faults import DISABLING, Fault, FaultKind
from rollbackd.app.simulation.loop import START_MS, VirtualLoop
from rollbackd.app.simulation.referee import Referee
from rollbackd.app.simulation.replica import Life
from rollbackd.app.simulation.scenario import Scenario
from rollbackd.app.simulation.service import GOOD_PINS, INTENTS, SimulatedService, known_good_of
from rollbackd.app.simulation.store import SimulatedStore
from rollbackd.app.simulation.wire import CallFaults
from rollbackd.model.controls import ControlValue
from rollbackd.model.incidents import Incident, JournalRecord, State
from rollbackd.model.labels import Scope
from rollbackd.model.triggers import TargetReading

T = TypeVar("T")

#: How long a process may be busy with what a fault has left behind.
_FELT_MS: Final = 15_000

#: What somebody may write to a control by hand.
_BY_HAND: Final[dict[str, ControlValue]] = {
    "flag": {"baseline_weight": 0.5, "canary_weight": 0.5, "global_off": False},
    "alias": {"index": "docs_vC"},
    "pointer": {"target": "green"},
    "pins": {**GOOD_PINS, "PROMPT_VER": "p3"},
    "writes": {"blocked": True, "scope": "all", "retry_after_seconds": 5},
    "throttle": {"requests_per_second": 10, "burst": 10, "breaker": "closed"},
    "degrade": {"level": 4},
    "cache": {"generation": 90, "namespace": "by-hand"},
}


class World:
    """One run: two replicas of which one owns the services, and all that they call."""

    def __init__(self, scenario: Scenario, faults: Sequence[Fault], loop: VirtualLoop) -> None:
        self.scenario = scenario
        self.loop = loop
        self.dice = random.Random(scenario.seed ^ 0x5EED)  # noqa: S311  # must be repeatable
        self.call_faults = CallFaults(list(faults))
        self.referee = Referee(self)
        self.store = SimulatedStore(on_commit=self.referee.on_commit, now_us=self._now_us)
        self.controls = SimulatedControls(
            on_change=self._changed,
            on_write=self.referee.on_write,
            on_fence=self.referee.on_fence,
        )
        self.services = [SimulatedService(plan, self.controls) for plan in scenario.services]
        self.lives = 0
        self.crashes = 0
        self.skews_ms = {"a": 0, "b": 0}
        self.reports: set[str] = set()
        self.writer: Life | None = None
        self.owner: Life | None = None
        self.asleep: list[Life] = []
        #: Until when a fault is felt, in true milliseconds.
        self.disturbed_until_ms = 0
        #: A person tells the owner what to do with an incident.
        self.person: Callable[[str, str], Awaitable[bool]] = _nobody
        self.struck: Counter[FaultKind] = self.call_faults.struck
        self._outages: dict[str, float] = {"store": 0.0, "targets": 0.0}
        self._refusing: tuple[Life, tuple[object, ...]] | None = None
        self._numbers = 0
        self._incidents = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def now_ms(self) -> int:
        """True milliseconds since the start."""
        return int(self.loop.time() * 1_000)

    async def prepare(self) -> None:
        """Set up what stands before anything goes wrong."""
        for service in self.services:
            if service.plan.known_good:
                await self.store.put_known_good(known_good_of(service.plan, START_MS - 1))
            for name, value in INTENTS.items():
                await self.controls.set_intent(service.plan.scope, name, value, now_ms=START_MS)
        self.start("a")

    def start(self, name: str) -> None:
        """A new process on one of the machines is the owner from now on."""
        self.lives += 1
        self.owner = Life(self, name, self.skews_ms[name])

    def next_number(self) -> int:
        """One more than the last."""
        self._numbers += 1
        return self._numbers

    def new_id(self, _now_ms: int) -> str:
        """The name of the next incident."""
        self._incidents += 1
        return f"INC-{self._incidents}"

    def service(self, choice: int) -> SimulatedService:
        """One of the services."""
        return self.services[choice % len(self.services)]

    def service_of(self, scope: Scope) -> SimulatedService:
        """The service of a scope."""
        return next(each for each in self.services if each.plan.scope == scope)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something beside everything else, to the end of the simulation."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def later(self, milliseconds: int, callback: Callable[[], None]) -> None:
        """Do something once that time has passed."""
        self.loop.call_later(milliseconds / 1_000, callback)

    def disturb(self, fault: Fault) -> None:
        """A fault strikes now; one that disables is felt for a while."""
        self.referee.tell(f"-- {fault}")
        if fault.kind not in DISABLING:
            return
        until_ms = self.now_ms + abs(fault.for_ms) + _FELT_MS
        self.disturbed_until_ms = max(self.disturbed_until_ms, until_ms)

    def is_out(self, what: str) -> bool:
        """Whether the `store` or the `targets` cannot be reached now."""
        return self.loop.time() < self._outages[what]

    def refuses(self, place: tuple[object, ...], life: Life) -> bool:
        """Whether a control is closed to a process."""
        return (
            self._refusing is not None
            and self._refusing[0] is not life
            and place[:2] == self._refusing[1]
        )

    def outage(self, what: str, milliseconds: int) -> None:
        """From now on it cannot be reached, for that long."""
        self._outages[what] = self.loop.time() + milliseconds / 1_000

    def end_outages(self) -> None:
        """Everything can be reached."""
        self._outages = dict.fromkeys(self._outages, 0.0)

    def crash(self, life: Life, fault: Fault) -> None:
        """A process dies now; if it was the owner, another life begins after a while."""
        if not life.dead:
            self.crashes += 1
            other = "b" if life.name == "a" else "a"
            self.restart(life, fault.for_ms, on=other if fault.elsewhere else life.name)

    def restart(self, life: Life, milliseconds: int, *, on: str = "") -> None:
        """A process ends at once; if it was the owner, the next one starts after a while."""
        life.dead = True
        self.spawn(life.bury())
        if life is self.owner:
            self.spawn(self._start_after(on or life.name, milliseconds))

    async def _start_after(self, name: str, milliseconds: int) -> None:
        self.owner = None
        await asyncio.sleep(milliseconds / 1_000)
        if self.owner is None:
            self.start(name)

    def oust(
        self,
        stale: Life,
        milliseconds: int,
        *,
        refusing: bool = False,
        at: tuple[object, ...] = (),
    ) -> asyncio.Task[None]:
        """The owner stands still, the other takes over; it wakes up and still acts for a while.

        `refusing`: what it was about to write, `at` that place, is closed to everybody else, and
        a person clears up.
        """
        stale.freeze()
        if refusing:
            self._refusing = stale, at[:2]
        self.asleep.append(stale)
        self.owner = None
        return self.spawn(self._take_over(stale, milliseconds, refusing=refusing))

    async def _take_over(self, stale: Life, milliseconds: int, *, refusing: bool) -> None:
        await asyncio.sleep(5)
        if self.owner is None:
            self.start("b" if stale.name == "a" else "a")
        if refusing:
            self.spawn(self._clear_up())
        await asyncio.sleep(milliseconds / 1_000)
        await self.rouse(stale)

    async def _clear_up(self) -> None:
        """A person sees that the new owner gets nowhere, and wants everything given back."""
        await asyncio.sleep(10)
        for incident in self.store.newest_first(open_only=True):
            if incident.state is State.NEEDS_HUMAN:
                await self.person(incident.id, "restore")

    async def rouse(self, stale: Life) -> None:
        """Wake a stale owner up; a little later it hears that it is none."""
        if stale not in self.asleep:
            return
        self.asleep.remove(stale)
        self._refusing = None
        stale.wake()
        await asyncio.sleep(3)
        if not stale.dead:
            await stale.retire()

    async def hand_over(self) -> None:
        """The owner stops in good order."""
        leaving = self.owner
        if leaving is None:
            return
        self.owner = None
        await leaving.retire()
        if self.owner is None:
            self.start("b" if leaving.name == "a" else "a")

    def move_by_hand(self, scope: Scope, name: str, choice: int) -> None:
        """Somebody writes a control past every fence."""
        trip = _BY_HAND[name.partition(":")[0]] if choice % 2 else None
        self.controls.move_by_hand(scope, name, trip)

    def rules_firing(self) -> list[Firing]:
        """The rules over samples that fire now."""
        return [
            (service.plan.scope, service.plan.branches[0])
            for service in self.services
            if service.plan.source == "rules" and service.is_alerting(self.now_ms)
        ]

    def readings(self, life: Life, incident: Incident) -> list[TargetReading]:
        """What the exit targets of an incident read now."""
        readings = self.service_of(incident.scope).readings(incident, self.now_ms)
        self.referee.on_reading(life, incident, readings)
        return readings

    def paged(self, incident: Incident, reason: str) -> None:
        """Somebody's phone rings."""
        self.referee.on_page(incident, reason)

    async def write(self, incident: Incident, journal: Sequence[JournalRecord]) -> str:
        """See `ports.Reporter`."""
        self.reports.add(incident.id)
        return f"{incident.id}/{len(journal)}"

    def _now_us(self) -> int:
        return (START_MS + self.now_ms) * 1_000

    def _changed(self, scope: Scope, before: object, after: object, op: object) -> None:
        self.service_of(scope).look(self.now_ms)
        self.referee.on_change(scope, before, after, op)  # type: ignore[arg-type]


async def _nobody(_incident_id: str, _decision: str) -> bool:
    return False
