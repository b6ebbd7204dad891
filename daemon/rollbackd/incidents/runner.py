"""Every open incident of this process: one task each, told of what concerns it."""

import asyncio
import logging

from rollbackd.incidents import messages as m
from rollbackd.incidents.drive import Drive
from rollbackd.incidents.gauges import IncidentGauges
from rollbackd.incidents.left_in_force import LeftMeasures
from rollbackd.incidents.performing import LeverRoom
from rollbackd.incidents.surroundings import Surroundings
from rollbackd.model.incidents import Incident
from rollbackd.model.policy import BranchPolicy
from rollbackd.model.triggers import Trigger

__all__ = ["Runner", "Surroundings"]

logger = logging.getLogger(__name__)


class Runner:
    """Drives every open incident of this process to its end."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        self._room = LeverRoom(
            surroundings.levers,
            surroundings.store,
            surroundings.clock,
            surroundings.telemetry,
            surroundings.notifier.page,
        )
        self._drives: dict[str, Drive] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.gauges = IncidentGauges(surroundings.telemetry)
        self.left = LeftMeasures(
            surroundings.store,
            surroundings.levers,
            surroundings.clock,
            surroundings.telemetry,
            surroundings.notifier.decided,
        )

    def current(self) -> list[Incident]:
        """The open incidents that this process drives."""
        return [drive.incident for drive in self._drives.values() if drive.incident.is_open]

    def start(self, incident: Incident) -> None:
        """Drive a new incident."""
        self._launch(incident, first=None)

    async def resume(self, incident: Incident) -> None:
        """Take an open incident over from a process that is gone, under a higher epoch."""
        epoch = await self._around.store.next_epoch(incident.scope)
        logger.info(
            "resuming an open incident", extra={"incident": incident.id, "state": incident.state}
        )
        self._launch(incident, first=m.Resumed(epoch=epoch))

    def join(self, incident_id: str, trigger: Trigger, policy: BranchPolicy) -> bool:
        """Tell an incident of another trigger of its scope.

        True when the incident answers for it; False when it comes too late, is of a lower branch
        or of one that only observes, so that it must be looked at again once the incident has
        ended.
        """
        drive = self._drives.get(incident_id)
        return drive is not None and drive.join(trigger, policy)

    async def decide(self, incident_id: str, decision: str, *, by: str) -> bool:
        """Pass a person's word on, and return once it is in the journal.

        False when this process does not drive the incident, or no longer does. What a person
        decides is done under a new epoch: the old one may have been fenced off.
        """
        drive = self._drives.get(incident_id)
        if drive is None or not drive.incident.is_open:
            return False
        drive.tell(m.Resumed(epoch=await self._around.store.next_epoch(drive.incident.scope)))
        return await drive.hear(m.Decided(decision=decision, by=by))

    async def accept(self, incident_id: str, keys: list[str], *, by: str, because: str) -> bool:
        """Pass on that a person accepts items of the reconciliation; as `decide`."""
        drive = self._drives.get(incident_id)
        if drive is None or not drive.incident.is_open:
            return False
        return await drive.hear(m.ItemsAccepted(keys=keys, by=by, because=because))

    async def compensate(self, incident_id: str, *, because: str) -> bool:
        """Have a step of a unit put back, once the act that is under way has ended.

        It is not waited for: a lever that hangs there must hold no other scope up. Whoever asks
        does so until it is in the journal. False when this process does not drive the incident.
        """
        drive = self._drives.get(incident_id)
        if drive is None or not drive.incident.is_open:
            return False
        drive.ask_back(because)
        return True

    async def stop(self) -> None:
        """Stop driving; every incident stays as the journal has it."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _launch(self, incident: Incident, *, first: m.Event | None) -> None:
        if incident.id in self._drives:
            logger.warning("this incident is driven already", extra={"incident": incident.id})
            return
        drive = Drive(self._around, self._room, self.gauges, incident)
        if first is not None:
            drive.tell(first)
        self._drives[incident.id] = drive
        self.gauges.show(incident, self._around.clock.now())
        task = asyncio.create_task(drive.run(), name=f"incident {incident.id}")
        self._tasks[incident.id] = task
        task.add_done_callback(lambda _: self._ended(incident.id))

    def _ended(self, incident_id: str) -> None:
        drive = self._drives.pop(incident_id, None)
        if drive is not None:
            self.left.note(drive.incident)
        task = self._tasks.pop(incident_id)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.critical(
                "an incident's task died; it is taken up again within two minutes",
                exc_info=error,
                extra={"incident": incident_id},
            )
