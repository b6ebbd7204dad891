"""The shell around `step`: performs what it asks for, journals what comes of it.

One task an incident. Each turn persists the step before the next command is performed, so that the
intent of an act is durable before the act, and its seal after the read-back.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgspec

from rollbackd.clock import Clock
from rollbackd.incidents import messages as m
from rollbackd.incidents.gauges import IncidentGauges
from rollbackd.incidents.performing import LeverRoom, patiently
from rollbackd.incidents.step import next_command, step
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, JournalRecord, State
from rollbackd.model.policy import BranchPolicy
from rollbackd.model.triggers import Trigger
from rollbackd.ports import (
    Auditor,
    Capture,
    LeverTable,
    Notifier,
    Reporter,
    StaleIncidentError,
    Store,
    Targets,
)
from rollbackd.telemetry import Telemetry

logger = logging.getLogger(__name__)

#: How often an incident that waits for a person looks at its deadlines.
_IDLE_INTERVAL_MS: Final = 15_000


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a runner works with."""

    store: Store
    levers: LeverTable
    capture: Capture
    targets: Targets
    auditor: Auditor
    reporter: Reporter
    notifier: Notifier
    clock: Clock
    telemetry: Telemetry


class Runner:
    """Drives every open incident of this process to its end."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        self._room = LeverRoom(
            surroundings.levers,
            surroundings.clock,
            surroundings.telemetry,
            surroundings.notifier.page,
        )
        self._drives: dict[str, _Drive] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.gauges = IncidentGauges(surroundings.telemetry)

    def current(self) -> list[Incident]:
        """The open incidents that this process drives."""
        return [drive.incident for drive in self._drives.values()]

    def start(self, incident: Incident) -> None:
        """Drive a new incident."""
        self._launch(incident, first=None)

    async def resume(self, incident: Incident) -> None:
        """Take an open incident over from a process that is gone, under a higher epoch."""
        around = self._around
        epoch = await around.store.next_epoch(incident.scope)
        logger.info(
            "resuming an open incident", extra={"incident": incident.id, "state": incident.state}
        )
        self._launch(incident, first=m.Resumed(epoch=epoch))

    def join(self, incident_id: str, trigger: Trigger, policy: BranchPolicy) -> bool:
        """Tell an incident of another trigger of its scope.

        True when the incident answers for it; False when it comes too late, or is of a lower
        branch, so that it must be looked at again once the incident has ended.
        """
        drive = self._drives.get(incident_id)
        if drive is None:
            return False
        incident = drive.incident
        drive.tell(m.TriggerJoined(trigger=trigger, policy=policy))
        ending = incident.state in {State.RESTORING, State.AUDITING}
        return not ending and policy.priority <= incident.policy.priority

    def decide(self, incident_id: str, decision: str, *, by: str) -> bool:
        """Pass a person's word on. False when this process does not drive the incident."""
        drive = self._drives.get(incident_id)
        if drive is None:
            return False
        drive.tell(m.Decided(decision=decision, by=by))
        return True

    async def stop(self) -> None:
        """Stop driving; every incident stays as the journal has it."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _launch(self, incident: Incident, *, first: m.Event | None) -> None:
        drive = _Drive(self._around, self._room, self.gauges, incident)
        if first is not None:
            drive.tell(first)
        self._drives[incident.id] = drive
        self.gauges.show(incident, self._around.clock.now())
        task = asyncio.create_task(drive.run(), name=f"incident {incident.id}")
        self._tasks[incident.id] = task
        task.add_done_callback(lambda _: self._ended(incident.id))

    def _ended(self, incident_id: str) -> None:
        self._drives.pop(incident_id, None)
        task = self._tasks.pop(incident_id)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.critical(
                "an incident's task died; its measures stay as they are until a restart",
                exc_info=error,
                extra={"incident": incident_id},
            )


class _Drive:
    """One incident on its way."""

    def __init__(
        self,
        around: Surroundings,
        room: LeverRoom,
        gauges: IncidentGauges,
        incident: Incident,
    ) -> None:
        self.incident = incident
        self._around = around
        self._room = room
        self._gauges = gauges
        self._mail: asyncio.Queue[m.Event] = asyncio.Queue()
        self._performers: dict[type, Callable[[Any], Coroutine[Any, Any, m.Event]]] = {
            m.Continue: self._continue,
            m.CaptureEvidence: self._capture,
            m.Prepare: self._prepare,
            m.Perform: self._perform,
            m.Watch: self._watch,
            m.AwaitPerson: self._await_person,
            m.RunAudit: self._audit,
        }

    def tell(self, event: m.Event) -> None:
        """Leave an event from outside; it is taken before the next command."""
        self._mail.put_nowait(event)

    async def run(self) -> None:
        """Turn until the incident has ended or another process took it over."""
        while True:
            while not self._mail.empty():
                if not await self._take(self._mail.get_nowait()):
                    return
            command = next_command(self.incident)
            if command is None:
                break
            if not await self._take(await self._performers[type(command)](command)):
                return
        await self._write_report()

    async def _take(self, event: m.Event) -> bool:
        """Step, persist, show. False when the incident moved on elsewhere."""
        if not self.incident.is_open:
            return True
        before, now_ms = self.incident, self._around.clock.now()
        after, record = step(before, event, now_ms)
        try:
            await patiently(
                lambda: self._around.store.advance(after, [record] if record else []),
                self._around.clock,
                lambda message: self._around.notifier.page(before, message),
            )
        except StaleIncidentError as error:
            # A lost reply of our own write looks the same as another owner's write.
            stored = await patiently(
                lambda: self._around.store.incident(before.id),
                self._around.clock,
                lambda message: self._around.notifier.page(before, message),
            )
            if stored != after:
                logger.warning("handed over", extra={"incident": before.id, "because": str(error)})
                return False
        self.incident = after
        self._report(before, after, record, now_ms)
        await self._page(before, after)
        return True

    async def _continue(self, _command: m.Continue) -> m.Event:
        return m.Continued()

    async def _capture(self, _command: m.CaptureEvidence) -> m.Event:
        evidence = await self._around.capture.capture(self.incident)
        self._around.telemetry.evidence_captured.inc()
        return m.Captured(evidence=evidence)

    async def _prepare(self, command: m.Prepare) -> m.Event:
        known_good = await patiently(
            lambda: self._around.store.known_good(self.incident.scope),
            self._around.clock,
            lambda message: self._around.notifier.page(self.incident, message),
        )
        return await self._room.prepare(self.incident, command, known_good)

    async def _perform(self, command: m.Perform) -> m.Event:
        return await self._room.perform(self.incident, command.intent)

    async def _watch(self, _command: m.Watch) -> m.Event:
        if self.incident.hold.read_at_ms is not None:
            mail = await self._mail_within(self.incident.policy.watch_interval_ms)
            if mail is not None:
                return mail
        readings = self._around.targets.read(self.incident, self._around.clock.now())
        return m.Read(readings=readings)

    async def _await_person(self, _command: m.AwaitPerson) -> m.Event:
        return await self._mail_within(_IDLE_INTERVAL_MS) or m.Continued()

    async def _audit(self, _command: m.RunAudit) -> m.Event:
        checks = await self._around.auditor.audit(self.incident)
        for check in checks:
            result = "passed" if check.passed else "failed"
            self._around.telemetry.audit_checks.labels(check.name, result).inc()
        return m.Audited(checks=checks)

    async def _mail_within(self, milliseconds: int) -> m.Event | None:
        """The next event from outside, or None when none came in time."""
        mail = asyncio.ensure_future(self._mail.get())
        pause = asyncio.ensure_future(self._around.clock.sleep(milliseconds))
        try:
            await asyncio.wait({mail, pause}, return_when=asyncio.FIRST_COMPLETED)
            return mail.result() if mail.done() else None
        finally:
            for future in (mail, pause):
                future.cancel()

    async def _page(self, before: Incident, after: Incident) -> None:
        if after.state is State.NEEDS_HUMAN and before.state is not State.NEEDS_HUMAN:
            await self._around.notifier.page(after, after.reason)
        late = {each.op_id for each in after.ledger if each.paged_overdue}
        if late - {each.op_id for each in before.ledger if each.paged_overdue}:
            await self._around.notifier.page(after, Reason.MEASURE_OVERDUE)

    async def _write_report(self) -> None:
        incident, store = self.incident, self._around.store
        journal = await patiently(
            lambda: store.journal(incident.id),
            self._around.clock,
            lambda message: self._around.notifier.page(incident, message),
        )
        path = await self._around.reporter.write(incident, journal)
        logger.info("the post-mortem is written", extra={"incident": incident.id, "path": path})

    def _report(
        self, before: Incident, after: Incident, record: JournalRecord | None, now_ms: int
    ) -> None:
        self._gauges.show(after, now_ms)
        if record is None:
            return
        if before.state is not after.state:
            self._gauges.moved(before, after, now_ms)
        logger.info(
            "%s => %s: %s",
            before.state,
            after.state,
            after.reason,
            extra={
                "incident": after.id,
                "scope": str(after.scope),
                "branch": after.branch,
                "event": record.kind,
                "reason": after.reason,
                "detail": record.detail,
            },
        )
