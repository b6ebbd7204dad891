"""One incident on its way: performs what `step` asks for, journals what comes of it.

Each turn persists the step before the next command is performed, so that the intent of an act is
durable before the act, and its seal after the read-back.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from rollbackd.incidents import messages as m
from rollbackd.incidents import reconciling
from rollbackd.incidents.gauges import IncidentGauges
from rollbackd.incidents.lease import BREAK_OFF_SECONDS, RENEW_MS
from rollbackd.incidents.pages import pages_for
from rollbackd.incidents.patience import patiently
from rollbackd.incidents.performing import LeverRoom
from rollbackd.incidents.step import next_command, step
from rollbackd.incidents.surroundings import Surroundings
from rollbackd.incidents.turning import answers_for
from rollbackd.model.incidents import Incident, JournalRecord, State
from rollbackd.model.policy import BranchPolicy
from rollbackd.model.triggers import Trigger
from rollbackd.ports import StaleIncidentError

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: How often an incident that waits for a person looks at its deadlines.
_IDLE_INTERVAL_MS: Final = 15_000
#: Between two rounds of the probes of a freeze.
_CONFIRM_INTERVAL_MS: Final = 500
#: How long a command may still run once a person has decided, before it is broken off.
_GRACE_MS: Final = 5_000


class Drive:
    """Turns until the incident has ended or another process took it over."""

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
        self._mail: deque[m.Event] = deque()
        self._mail_came = asyncio.Event()
        # Who waits to hear that their event is in the journal.
        self._waiting: list[tuple[m.Event, asyncio.Future[bool]]] = []
        # What the step being persisted leads to.
        self._heading = incident
        # Whether no other process has taken the incident over.
        self._is_ours = True
        self._performers: dict[type, Callable[[Any], Coroutine[Any, Any, m.Event]]] = {
            m.Continue: self._continue,
            m.CaptureEvidence: self._capture,
            m.Prepare: self._prepare,
            m.Perform: self._perform,
            m.ConfirmFreeze: self._confirm_freeze,
            m.Watch: self._watch,
            m.AwaitPerson: self._await_person,
            m.Reconcile: self._reconcile,
            m.RunAudit: self._audit,
        }

    def tell(self, event: m.Event) -> None:
        """Leave an event from outside; it is taken before the next command."""
        self._mail.append(event)
        self._mail_came.set()

    async def hear(self, event: m.Event) -> bool:
        """Leave an event and wait until it is in the journal: a crash no longer loses it.

        False when the incident ended, or went to another process, before that.
        """
        if not self.incident.is_open:
            return False
        journaled: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((event, journaled))
        self.tell(event)
        return await journaled

    def join(self, trigger: Trigger, policy: BranchPolicy) -> bool:
        """Tell of another trigger; whether the incident answers for it."""
        answers = answers_for(self._heading.state, self._rank(), policy)
        self.tell(m.TriggerJoined(trigger=trigger, policy=policy))
        return answers

    def ask_back(self, because: str) -> None:
        """Have the flip put back for the unit; asked again on the way there, it is asked once."""
        under_way = any(isinstance(event, m.CompensationAsked) for event in self._mail)
        if not under_way and not self._heading.compensation_asked:
            self.tell(m.CompensationAsked(because=because))

    def _rank(self) -> int:
        """The priority of the branch that it follows, or that is about to take it over."""
        followed = self._heading.preempted_by or self._heading.policy
        joined = [each.policy for each in self._mail if isinstance(each, m.TriggerJoined)]
        acting = [policy for policy in joined if policy.mode == "act"]
        return min(policy.priority for policy in (followed, *acting))

    async def run(self) -> None:
        """Turn to the end. Whatever is not foreseen asks for a person and is raised."""
        try:
            while self.incident.is_open and await self._turn():
                pass
        except Exception:
            await self._around.notifier.page(self.incident, "the incident's task died")
            raise
        finally:
            self._answer_waiting(lambda _: True, journaled=False)

    async def _turn(self) -> bool:
        """Take one event. False when the incident moved on elsewhere."""
        if self._mail:
            mail = self._mail.popleft()
            stays = await self._take(mail)
            self._answer_waiting(lambda event: event is mail, journaled=stays)
            return stays
        command = next_command(self.incident)
        assert command is not None
        event = await self._answer(command)
        if event is None or (self._mail and isinstance(event, m.Read)):
            # A reading may end the hold; who joined before it was taken comes first.
            return self._is_ours
        return await self._take(event)

    def _answer_waiting(self, which: Callable[[m.Event], bool], *, journaled: bool) -> None:
        for event, waiting in [each for each in self._waiting if which(each[0])]:
            self._waiting.remove((event, waiting))
            if not waiting.done():
                waiting.set_result(journaled)

    async def _answer(self, command: m.Command) -> m.Event | None:
        """Perform a command; None when it was broken off: a person decided, or the lease is lost.

        An act that is broken off is still pending: what became of it is read from the target. So
        a lever that hangs does not keep a person from aborting.
        """
        clock, since_ms, first = self._around.clock, self._around.clock.now(), True
        performing = asyncio.ensure_future(self._performers[type(command)](command))
        due = asyncio.ensure_future(clock.sleep(RENEW_MS))
        try:
            while not performing.done():
                if any(isinstance(event, m.Decided) for event in self._mail):
                    await _first_of({performing}, clock.sleep(_GRACE_MS))
                    break
                self._mail_came.clear()
                await _first_of({performing, due}, self._mail_came.wait())
                if due.done() and not performing.done():
                    still = m.StillPerforming(since_ms=since_ms, first=first)
                    if not await self._renew(still, performing):
                        return None
                    due, first = asyncio.ensure_future(clock.sleep(RENEW_MS)), False
            return performing.result() if performing.done() else None
        finally:
            performing.cancel()
            due.cancel()
            await asyncio.gather(performing, due, return_exceptions=True)

    async def _renew(self, still: m.StillPerforming, performing: asyncio.Future[m.Event]) -> bool:
        """Renew the lease under a command; False when the command is broken off.

        That is so when another process has the incident, or may have it by now: then nothing is
        done under the old epoch any more.
        """
        taking = asyncio.ensure_future(self._take(still))
        try:
            # by the loop's time: it is a store that does not answer, and no part of the runbook
            await asyncio.wait({taking}, timeout=BREAK_OFF_SECONDS)
            lapses = not taking.done()
            if lapses:
                logger.warning("broken off: the lease lapses", extra={"incident": self.incident.id})
                performing.cancel()
            self._is_ours = await taking
        finally:
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
        if lapses and self._is_ours:
            next_epoch = self._around.store.next_epoch
            epoch = await self._patiently(lambda: next_epoch(self.incident.scope))
            self.tell(m.Resumed(epoch=epoch))
        return self._is_ours and not lapses

    async def _take(self, event: m.Event) -> bool:
        """Step, persist, show. False when the incident moved on elsewhere."""
        before, now_ms = self.incident, self._around.clock.now()
        after, record = step(before, event, now_ms)
        self._heading = after
        if not after.is_open:
            # Before it counts as ended: a crash must not leave it without its report (F5).
            await self._write_report(after, record)
        try:
            await self._patiently(
                lambda: self._around.store.advance(after, [record] if record else [])
            )
        except StaleIncidentError as error:
            # A lost reply of our own write looks the same as another owner's write.
            stored = await self._patiently(lambda: self._around.store.incident(before.id))
            if stored != after:
                logger.warning("handed over", extra={"incident": before.id, "because": str(error)})
                self._gauges.forget(before)
                return False
        self.incident = after
        if record is not None:
            self._around.notifier.decided(after, record)
        self._report(before, after, record, now_ms)
        await self._page(before, after)
        if after.state is State.NEEDS_HUMAN and before.state is not after.state:
            # Whoever was asked for needs to read what led there.
            await self._write_report(after, None)
        return True

    async def _continue(self, _command: m.Continue) -> m.Event:
        return m.Continued()

    async def _capture(self, _command: m.CaptureEvidence) -> m.Event:
        evidence = await self._around.capture.capture(self.incident)
        self._around.telemetry.evidence_captured.inc()
        return m.Captured(evidence=evidence)

    async def _prepare(self, command: m.Prepare) -> m.Event:
        scope = self.incident.scope
        known_good = await self._patiently(lambda: self._around.store.known_good(scope))
        return await self._room.prepare(self.incident, command, known_good)

    async def _perform(self, command: m.Perform) -> m.Event:
        return await self._room.perform(self.incident, command.intent)

    async def _confirm_freeze(self, command: m.ConfirmFreeze) -> m.Event:
        if command.again:
            await self._mail_within(_CONFIRM_INTERVAL_MS)
        asked = (self._around.probes.confirm(self.incident, probe) for probe in command.probes)
        confirmations = list(await asyncio.gather(*asked))
        for each in confirmations:
            result = "confirmed" if each.confirmed else "not_confirmed"
            self._around.telemetry.freeze_probes.labels(each.probe, result).inc()
        return m.FreezeChecked(confirmations=confirmations)

    async def _watch(self, command: m.Watch) -> m.Event:
        last_ms, interval_ms = self.incident.hold.read_at_ms, self.incident.policy.watch_interval_ms
        if last_ms is not None:
            left_ms = last_ms + interval_ms - self._around.clock.now()
            await self._mail_within(min(max(left_ms, 0), interval_ms))
        look = self._room.look
        drifted, lifted = await asyncio.gather(
            look.drifted(command.flips), look.lifted(self.incident, command.freeze)
        )
        readings = self._around.targets.read(self.incident, self._around.clock.now())
        return m.Read(readings=readings, drifted=drifted, lifted=lifted)

    async def _await_person(self, command: m.AwaitPerson) -> m.Event:
        wait_ms = _IDLE_INTERVAL_MS
        if command.until_ms is not None:
            wait_ms = min(wait_ms, max(command.until_ms - self._around.clock.now(), 0))
        await self._mail_within(wait_ms)
        return m.Continued()

    async def _reconcile(self, _command: m.Reconcile) -> m.Event:
        found = await self._around.reconciler.reconcile(self.incident)
        return m.Reconciled(reconciliation=found)

    async def _audit(self, _command: m.RunAudit) -> m.Event:
        checks = await self._around.auditor.audit(self.incident)
        found = None
        if self._around.reconciler.lists(self.incident.scope):
            found = await self._around.reconciler.reconcile(self.incident)
            checks = [*checks, reconciling.audit_check(found)]
        for check in checks:
            result = "passed" if check.passed else "failed"
            self._around.telemetry.audit_checks.labels(check.name, result).inc()
        return m.Audited(checks=checks, reconciliation=found)

    async def _mail_within(self, milliseconds: int) -> None:
        """Wait for an event from outside, but not longer."""
        pause = asyncio.ensure_future(self._around.clock.sleep(milliseconds))
        try:
            await _first_of({pause}, self._mail_came.wait())
        finally:
            pause.cancel()

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        return await patiently(
            call,
            self._around.clock,
            lambda message: self._around.notifier.page(self.incident, message),
        )

    async def _page(self, before: Incident, after: Incident) -> None:
        for reason in pages_for(before, after):
            await self._around.notifier.page(after, reason)

    async def _write_report(self, incident: Incident, last: JournalRecord | None) -> None:
        """Write the report of what the store holds, and of `last`, which it does not hold yet."""
        journal = await self._patiently(lambda: self._around.store.journal(incident.id))
        journal = [*journal, *([last] if last else [])]
        try:
            path = await self._around.reporter.write(incident, journal)
        except Exception as error:  # neither a full disk nor a defect in a page holds it open
            logger.exception("the report was not written", extra={"incident": incident.id})
            await self._around.notifier.page(incident, f"the report was not written: {error}")
            return
        logger.info("the report is written", extra={"incident": incident.id, "path": path})

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
                "audit_hash": record.audit_hash,
            },
        )


async def _first_of(futures: set[asyncio.Future[Any]], other: Coroutine[Any, Any, object]) -> None:
    """Wait until one of them is done; the coroutine is then cancelled."""
    task = asyncio.ensure_future(other)
    try:
        await asyncio.wait({*futures, task}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
