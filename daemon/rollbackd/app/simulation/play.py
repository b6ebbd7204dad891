"""One run: a scenario and its faults, from the first alert until everything has ended."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from rollbackd.app.simulation.faults import Fault
from rollbackd.app.simulation.loop import StuckError, VirtualLoop
from rollbackd.app.simulation.scenario import Scenario
from rollbackd.app.simulation.tracks import Invariant, Violation
from rollbackd.app.simulation.trouble import Alertmanager, Trouble, word_for
from rollbackd.app.simulation.world import World
from rollbackd.model.incidents import State

#: Without faults and with people at hand, everything ends within this time.
_ENDS_WITHIN_SECONDS: Final = 1_800.0
#: How long nothing may happen before the trouble counts as over.
_QUIET_SECONDS: Final = 20.0
_LOOK_SECONDS: Final = 10.0
_WAITING: Final = {State.NEEDS_HUMAN, State.AWAITING_APPROVAL}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one run came to."""

    seed: int
    violation: Violation | None
    #: How often a fault of each kind struck.
    faults: dict[str, int]
    #: How often an incident entered each state.
    states: dict[str, int]
    incidents: int
    crashes: int
    lives: int
    virtual_ms: int
    #: What happened, line by line, when it was asked for.
    story: list[str] = []


def play(
    scenario: Scenario, faults: Sequence[Fault] | None = None, *, with_story: bool = False
) -> Outcome:
    """Run a scenario, with its own faults or with others."""
    schedule = scenario.faults if faults is None else faults
    loop = VirtualLoop(random.Random(scenario.seed ^ 0xD1CE))  # noqa: S311  # must be repeatable
    world = World(scenario, schedule, loop)
    world.referee.story = [] if with_story else None
    try:
        loop.run_until_complete(_Run(world, schedule).run())
    except StuckError as error:
        world.referee.fail(Invariant.ALIVE, str(error))
    for context in loop.unhandled:
        problem = context.get("exception") or context.get("message")
        world.referee.fail(Invariant.ALIVE, f"nobody handled {problem!r}")
    violation = world.referee.violation
    loop.close()
    return Outcome(
        seed=scenario.seed,
        violation=violation,
        faults={str(kind): count for kind, count in sorted(world.struck.items())},
        states={str(state): count for state, count in sorted(world.referee.states.items())},
        incidents=len(world.referee.tracks),
        crashes=world.crashes,
        lives=world.lives,
        virtual_ms=world.now_ms,
        story=world.referee.story or [],
    )


class _Run:
    def __init__(self, world: World, faults: Sequence[Fault]) -> None:
        self._world = world
        self._faults = [fault for fault in faults if not fault.point]
        self._alertmanagers = [Alertmanager(world, service) for service in world.services]
        self._trouble = Trouble(world, self._alertmanagers)
        world.person = self._trouble.decide
        self._asked: Counter[str] = Counter()
        self._settled_at: float | None = None

    async def run(self) -> None:
        """Trouble first, then people who clear up."""
        world = self._world
        await world.prepare()
        for alertmanager in self._alertmanagers:
            world.spawn(self._alerts(alertmanager))
        striking = [asyncio.ensure_future(self._trouble.strike(fault)) for fault in self._faults]
        world.spawn(self._watch())
        last_ms = max((fault.at_ms for fault in self._faults), default=0)
        await asyncio.sleep(max(last_ms / 1_000 + 30, 75))
        await self._until_quiet()
        for task in striking:
            task.cancel()
        await self._settle()
        self._check_acknowledged()
        self._world.referee.check_chains()

    async def _alerts(self, alertmanager: Alertmanager) -> None:
        if alertmanager.sends_by_itself:
            await alertmanager.run()

    async def _watch(self) -> None:
        """Look at what only time can break."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self._world.referee.look()

    async def _until_quiet(self) -> None:
        """Wait until no incident moves, but not for ever."""
        world = self._world
        versions: dict[str, int] = {}
        for _ in range(6):
            found = {i.id: i.version for i in world.store.newest_first(open_only=True)}
            if not found or found == versions:
                return
            versions = found
            await asyncio.sleep(_QUIET_SECONDS)

    async def _settle(self) -> None:
        """Faults stop, people answer: now everything has to come to an end."""
        world = self._world
        world.call_faults.enabled = False
        world.end_outages()
        for stale in list(world.asleep):
            await world.rouse(stale)
        await world.store.set_pause(None)
        self._settled_at = world.loop.time()
        while world.store.newest_first(open_only=True) or self._red():
            if world.loop.time() - self._settled_at > _ENDS_WITHIN_SECONDS:
                self._fail_to_end()
                return
            if world.owner is None:
                world.start("a")
            await self._answer()
            await asyncio.sleep(_LOOK_SECONDS)
        await asyncio.sleep(_LOOK_SECONDS)

    async def _answer(self) -> None:
        world = self._world
        assert self._settled_at is not None
        waited = world.loop.time() - self._settled_at
        for incident in world.store.newest_first(open_only=True):
            asked = world.referee.tracks[incident.id].silent_since_ms is None
            if incident.state in _WAITING and asked and waited > 30:
                word = word_for(incident.state, self._asked[incident.id])
                self._asked[incident.id] += await self._trouble.decide(incident.id, word)
        if waited > 60:
            for service in world.services:
                service.mended = True

    def _red(self) -> bool:
        world = self._world
        return any(service.is_red(world.now_ms) for service in world.services)

    def _fail_to_end(self) -> None:
        for incident in self._world.store.newest_first(open_only=True):
            message = f"{incident.id} is still in {incident.state} ({incident.reason})"
            self._world.referee.fail(Invariant.ENDS, message, incident.id)
        self._world.referee.fail(Invariant.ENDS, "the services are still red")

    def _check_acknowledged(self) -> None:
        """The owner knows the last word of every alert that was acknowledged."""
        owner = self._world.owner
        if owner is None:
            return
        for alertmanager in self._alertmanagers:
            for fingerprint, alert in alertmanager.acknowledged.items():
                known = owner.board.alerts.get(fingerprint)
                if alert.status == "firing" and (known is None or known.status != "firing"):
                    message = f"the alert {fingerprint} was acknowledged, and nobody knows of it"
                    self._world.referee.fail(Invariant.ACKNOWLEDGED, message)
