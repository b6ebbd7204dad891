"""Faults that strike at a time, and the people and alerts around the services."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from rollbackd.app.simulation.board import alert_labels
from rollbackd.app.simulation.faults import Fault, FaultKind
from rollbackd.app.simulation.service import SimulatedService
from rollbackd.errors import TemporaryError
from rollbackd.incidents.runner import Runner
from rollbackd.model.events import Alert, AlertStatus
from rollbackd.model.incidents import State
from rollbackd.ports import Pause, ScopeBusyError

if TYPE_CHECKING:
    from rollbackd.app.simulation.world import World

_PATIENCE_SECONDS: Final = 6.0
_POINTERS: Final = ("flag:canary", "alias:docs_live", "pointer:live", "pins")
_MEASURES: Final = ("writes", "throttle", "degrade", "cache")
_DECISIONS: Final = {
    FaultKind.RESTORE: "restore",
    FaultKind.ABORT: "abort",
    FaultKind.APPROVE: "approve",
    FaultKind.DECLINE: "decline",
}


class Alertmanager:
    """Sends the alerts of one service to the owner, until each is acknowledged."""

    def __init__(self, world: "World", service: SimulatedService) -> None:
        self.acknowledged: dict[str, Alert] = {}
        self._world = world
        self._service = service
        self._sent: list[Alert] = []

    @property
    def sends_by_itself(self) -> bool:
        """Whether the service's own alerts come from here."""
        return self._service.plan.source == "alerts"

    async def run(self) -> None:
        """Watch the service for ever."""
        firing = False
        while True:
            alerting = self._service.is_alerting(self._world.now_ms)
            if alerting is not firing:
                firing = alerting
                await self.send(self._service.plan.branches[0], firing=firing)
            await asyncio.sleep(3)

    async def send(self, branch: str, *, firing: bool) -> None:
        """Send an alert until somebody has it, whatever becomes of who wanted it sent."""
        scope, now_ms = self._service.plan.scope, self._world.now_ms
        fingerprint = f"{branch}-{scope}"
        starts = [a.starts_at_ms for a in self._sent if a.fingerprint == fingerprint]
        alert = Alert(
            fingerprint=fingerprint,
            status=AlertStatus.FIRING if firing else AlertStatus.RESOLVED,
            starts_at_ms=now_ms if firing or not starts else starts[-1],
            labels=alert_labels(scope, branch),
        )
        self._sent.append(alert)
        await asyncio.shield(self._world.spawn(self._deliver(alert)))

    async def again(self, choice: int) -> None:
        """Send an earlier alert once more: the last one, or an older one out of order."""
        if self._sent:
            await self._deliver(self._sent[-1 - choice % len(self._sent)])

    async def _deliver(self, alert: Alert) -> None:
        while True:
            owner = self._world.owner
            try:
                if owner is not None:
                    async with asyncio.timeout(_PATIENCE_SECONDS):
                        await owner.intake.accept_alerts([alert])
                    self.acknowledged[alert.fingerprint] = alert
                    return
            except (TemporaryError, TimeoutError):
                pass
            await asyncio.sleep(2)


class Trouble:
    """Makes the timed faults of a schedule happen."""

    def __init__(self, world: "World", alertmanagers: list[Alertmanager]) -> None:
        self._world = world
        self._alertmanagers = alertmanagers
        self._names = itertools.count(1)
        self._strikes: dict[FaultKind, Callable[[Fault], Awaitable[None]]] = {
            FaultKind.CRASH: self._crash,
            FaultKind.STALE_OWNER: self._stale_owner,
            FaultKind.HANDOVER: self._handover,
            FaultKind.STORE_OUTAGE: self._outage,
            FaultKind.TARGET_OUTAGE: self._outage,
            FaultKind.CLOCK_JUMP: self._clock_jump,
            FaultKind.SILENCE: self._data,
            FaultKind.RELAPSE: self._data,
            FaultKind.WORSE: self._data,
            FaultKind.FLAP: self._data,
            FaultKind.WRITERS_LINGER: self._data,
            FaultKind.RESTORE_THEN_CRASH: self._restore_then_crash,
            FaultKind.DUPLICATE: self._duplicate,
            FaultKind.SECOND_BRANCH: self._second_branch,
            FaultKind.PAUSE: self._pause,
            FaultKind.RESTORE: self._decide,
            FaultKind.ABORT: self._decide,
            FaultKind.APPROVE: self._decide,
            FaultKind.DECLINE: self._decide,
            FaultKind.PULL: self._pull,
            FaultKind.MOVE_POINTER: self._move,
            FaultKind.MOVE_MEASURE: self._move,
            FaultKind.ROLLOUT: self._rollout,
        }

    async def strike(self, fault: Fault) -> None:
        """Wait for the fault's time, then let it happen."""
        await asyncio.sleep(fault.at_ms / 1_000)
        self._world.struck[fault.kind] += 1
        self._world.disturb(fault)
        await self._strikes[fault.kind](fault)

    async def decide(self, incident_id: str, decision: str) -> bool:
        """A person says something to the owner; whether it was taken."""
        owner, by = self._world.owner, f"person-{next(self._names)}"
        if owner is None:
            return False
        try:
            async with asyncio.timeout(60):
                taken = await _decide(owner.runner, incident_id, decision, by)
        except (TemporaryError, TimeoutError, ValueError):
            return False
        if taken:
            self._world.referee.on_decided(owner, incident_id, decision, by)
        return taken

    async def _crash(self, fault: Fault) -> None:
        if self._world.owner is not None:
            self._world.crash(self._world.owner, fault)

    async def _stale_owner(self, fault: Fault) -> None:
        if self._world.owner is not None:
            await self._world.oust(self._world.owner, fault.for_ms)

    async def _handover(self, _fault: Fault) -> None:
        await self._world.hand_over()

    async def _outage(self, fault: Fault) -> None:
        what = "store" if fault.kind is FaultKind.STORE_OUTAGE else "targets"
        self._world.outage(what, fault.for_ms)

    async def _clock_jump(self, fault: Fault) -> None:
        world = self._world
        name = world.owner.name if world.owner is not None else "a"
        world.skews_ms[name] += fault.for_ms
        world.referee.tolerance_ms += abs(fault.for_ms)
        if world.owner is not None:
            world.owner.clock.skew_ms = world.skews_ms[name]

    async def _data(self, fault: Fault) -> None:
        service, until_ms = self._world.service(fault.choice), self._world.now_ms + fault.for_ms
        match fault.kind:
            case FaultKind.SILENCE:
                service.silent_until_ms = until_ms
            case FaultKind.RELAPSE:
                service.red_until_ms = until_ms
            case FaultKind.WORSE:
                service.worse_until_ms = until_ms
            case FaultKind.WRITERS_LINGER:
                service.lingering_until_ms = until_ms
            case _:
                service.quiet_until_ms = self._world.now_ms + 8_000

    async def _duplicate(self, fault: Fault) -> None:
        await self._alertmanagers[fault.choice % len(self._alertmanagers)].again(fault.choice)

    async def _second_branch(self, fault: Fault) -> None:
        service = self._world.service(fault.choice)
        alertmanager = self._alertmanagers[fault.choice % len(self._alertmanagers)]
        await alertmanager.send(service.plan.branches[1], firing=True)
        await asyncio.sleep(fault.for_ms / 1_000)
        await alertmanager.send(service.plan.branches[1], firing=False)

    async def _pause(self, fault: Fault) -> None:
        if self._world.owner is None:
            return
        store = self._world.owner.store
        pause = Pause(reason="wait", by="person", since_ms=1)
        for word in (pause, None):
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await store.set_pause(word)
            except (TemporaryError, TimeoutError):
                return
            await asyncio.sleep((60_000 + fault.for_ms) / 1_000)

    async def _decide(self, fault: Fault) -> None:
        wanted = _DECISIONS[fault.kind]
        found = self._world.store.newest_first(open_only=True)
        if found:
            await self.decide(found[fault.choice % len(found)].id, wanted)

    async def _restore_then_crash(self, fault: Fault) -> None:
        found = self._world.store.newest_first(open_only=True)
        owner = self._world.owner
        if found and owner is not None and await self.decide(found[0].id, "restore"):
            self._world.crash(owner, fault)

    async def _pull(self, fault: Fault) -> None:
        owner, plan = self._world.owner, self._world.service(fault.choice).plan
        if owner is None:
            return
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await owner.dispatcher.pull(
                    plan.branches[0], plan.scope, reason="I saw it", by="person"
                )
        except (TemporaryError, TimeoutError, ValueError, ScopeBusyError):
            return

    async def _move(self, fault: Fault) -> None:
        names = _POINTERS if fault.kind is FaultKind.MOVE_POINTER else _MEASURES
        scope = self._world.service(fault.choice).plan.scope
        self._world.move_by_hand(scope, names[fault.nth % len(names)], fault.choice)

    async def _rollout(self, fault: Fault) -> None:
        scope, name = self._world.service(fault.choice).plan.scope, _POINTERS[fault.nth % 4]
        intent = self._world.controls.look(scope, name).effective
        await self._world.controls.set_intent(scope, name, intent, now_ms=1)


async def _decide(runner: Runner, incident_id: str, decision: str, by: str) -> bool:
    return await runner.decide(incident_id, decision, by=by)


def word_for(state: State, asked: int) -> str:
    """What a person who wants to go home answers to an incident that waits, the n-th time."""
    if state is State.AWAITING_APPROVAL:
        return "approve"
    return ("restore", "restore", "rotated", "restore", "abort", "abort_leaving_measures")[
        min(asked, 5)
    ]
